// The application under test: it collects what is published, and goes on when the connection was lost.
globalThis.WebSocket ??= require('ws');
const autobahn = require('autobahn');

exports.startWatcher = (url, onEvent) => {
  const connection = new autobahn.Connection({ url, realm: 'realm1', max_retries: -1, initial_retry_delay: 0.1 });
  connection.onopen = (session) => session.subscribe('com.example.tick', ([value]) => onEvent(value));
  connection.onclose = () => false;
  connection.open();
  return connection;
};
