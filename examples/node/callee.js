// Node before version 22 has no WebSocket of its own.
globalThis.WebSocket ??= require('ws');
const autobahn = require('autobahn');

const connection = new autobahn.Connection({ url: 'ws://127.0.0.1:18080/ws', realm: 'realm1' });

connection.onopen = (session) => session.register('com.example.greet', ([name]) => `Hello, ${name}!`);

connection.open();
