const assert = require('node:assert');
const { once, EventEmitter } = require('node:events');
const { test } = require('node:test');
const { startTestkit } = require('./testkit.js');
const { startWatcher } = require('./watcher.js');

const SUBSCRIBED = 'to_client.by_type.SUBSCRIBED';

// A router, a link to it, the application behind the link, and a peer that publishes in raw WAMP.
const setUp = async (t) => {
  const kit = startTestkit();
  t.after(kit.end);
  const router = await kit('start');
  const link = await kit('link');
  const events = new EventEmitter();
  const watcher = startWatcher(link.url, (value) => events.emit('tick', value));
  t.after(() => watcher.close());
  await kit('wait', { until: { [SUBSCRIBED]: 1 } });
  await kit('peer', { url: router.url });
  await kit('join');
  return { kit, events };
};

const publish = async (kit, request, value) => {
  await kit('send', { message: [16, request, { acknowledge: true }, 'com.example.tick', [value]] });
  await kit('expect', { message: `PUBLISHED ${request} *` });
};

test('it sees what is published', async (t) => {
  const { kit, events } = await setUp(t);
  const tick = once(events, 'tick');
  await publish(kit, 1, 7);
  assert.deepStrictEqual(await tick, [7]);
});

test('it subscribes again after its connection was cut in the middle of an event', async (t) => {
  const { kit, events } = await setUp(t);
  await kit('fault', { action: 'cut_inside', bytes: 5, on: 'EVENT', times: 1 });
  await publish(kit, 1, 7);
  await kit('wait', { until: { [SUBSCRIBED]: 2 } });
  const tick = once(events, 'tick');
  await publish(kit, 2, 8);
  assert.deepStrictEqual(await tick, [8]);
});
