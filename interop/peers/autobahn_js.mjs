// Autobahn|JS as a peer: WebSocket with JSON, MessagePack and CBOR, rawsocket with JSON.

import { createRequire } from 'node:module';

import WebSocket from 'ws';

import { WampError, decode, encode, event, hold, present, serve } from './line_protocol.mjs';

// The library takes the runtime's own WebSocket, which Node has from version 22 on.
// One message a turn of the event loop, as browsers deliver them: the library's promises drop a progressive result
// that comes in the same turn as the last one.
globalThis.WebSocket ??= class extends WebSocket {
    constructor(url, protocols) {
        super(url, protocols, { allowSynchronousEvents: false });
    }
};
const require = createRequire(import.meta.url);
const autobahn = require('autobahn');
const version = require('autobahn/package.json').version;

const serializers = {
    json: autobahn.serializer.JSONSerializer,
    msgpack: autobahn.serializer.MsgpackSerializer,
    cbor: autobahn.serializer.CBORSerializer,
};
const sessions = new Map();
const noPassthru = 'has no payload passthru';
const noChunks = 'has no progressive call invocations';

const about = {
    client: 'autobahn-js',
    version,
    endpoints: [...Object.keys(serializers).map((name) => ['websocket', name]), ['rawsocket', 'json']],
    binary_in_json: 'raw',
    loose_numbers: true,
    // Larger ones lose their last digits, or leave as CBOR bignums.
    integer_max: { json: 2 ** 53, msgpack: 2 ** 53, cbor: 2 ** 53 },
    // In the other modes the library forgets the call at once and then takes the ERROR for a protocol violation.
    cancel_modes: ['kill'],
    lacks: {
        'progressive_results.caller/rawsocket': 'drops progressive results that come in one piece with the last',
        'progressive_invocations.caller': noChunks,
        'progressive_invocations.callee': noChunks,
        'cancel.callee': 'does not announce call_canceling nor know INTERRUPT',
        'passthru.caller': noPassthru,
        'passthru.callee': noPassthru,
        'passthru.publisher': noPassthru,
        'passthru.subscriber': noPassthru,
    },
};

/** The library's errors as the protocol's. */
async function wamp(promise) {
    try {
        return await promise;
    } catch (error) {
        if (error instanceof autobahn.Error) {
            throw new WampError(error.error, error.args, error.kwargs);
        }
        throw error;
    }
}

/** A result's args and kwargs: the library hands a lone positional result over bare. */
function unwrapped(result) {
    if (result instanceof autobahn.Result) {
        return { args: encode(result.args), kwargs: encode(result.kwargs) };
    }
    return { args: result === null || result === undefined ? [] : [encode(result)], kwargs: {} };
}

function behave(session, behaviour, procedure) {
    return async (args, kwargs, details) => {
        switch (behaviour.kind) {
            case 'echo':
                return new autobahn.Result(args, kwargs);
            case 'add':
                return args.reduce((sum, each) => sum + Number(each), 0);
            case 'constant':
                return decode(behaviour.value);
            case 'progress':
                for (let step = 0; details.progress && step < behaviour.count; step += 1) {
                    details.progress([step], { of: behaviour.count });
                }
                return behaviour.count;
            case 'error':
                throw new autobahn.Error(behaviour.uri, decode(behaviour.args), decode(behaviour.kwargs));
            case 'keywords':
                return new autobahn.Result([], decode(behaviour.kwargs));
            case 'details': {
                const { caller, caller_authid, caller_authrole } = details;
                return new autobahn.Result([], present({ caller, caller_authid, caller_authrole, procedure: details.procedure }));
            }
            case 'slow':
                event('invoked', session, { procedure: details.procedure ?? procedure });
                return hold();
            default:
                throw new Error(`no behaviour ${behaviour.kind}`);
        }
    };
}

serve({
    about: async () => about,

    join: ({ session, url, realm, serializer, transport }) =>
        new Promise((resolve, reject) => {
            const address = new URL(url.replace('tcp://', 'http://'));
            const raw = { type: 'rawsocket', host: address.hostname, port: Number(address.port), serializer };
            const Serializer = serializers[serializer];
            const web = { type: 'websocket', url, serializers: [new Serializer()] };
            const connection = new autobahn.Connection({
                transports: [transport === 'rawsocket' ? raw : web],
                realm,
                max_retries: 0,
                on_user_error: () => {},
            });
            connection.onopen = (opened, details) => {
                sessions.set(session, { connection, opened, handles: new Map(), calls: new Map() });
                const { authid, authrole, authmethod, authprovider } = details;
                resolve(present({ session_id: encode(opened.id), realm: opened.realm, authid, authrole, authmethod, authprovider }));
            };
            connection.onclose = (reason, details) => {
                event('left', session, { reason: details?.reason ?? reason });
                reject(new WampError(details?.reason ?? reason, [details?.message ?? null]));
                return true;
            };
            connection.open();
        }),

    leave: async ({ session }) => {
        const { connection } = sessions.get(session);
        sessions.delete(session);
        const closed = new Promise((resolve) => {
            const before = connection.onclose;
            connection.onclose = (...why) => {
                resolve();
                return before(...why);
            };
        });
        connection.close();
        await closed;
    },

    drop: async ({ session }) => {
        const { opened } = sessions.get(session);
        sessions.delete(session);
        opened._socket.close();
    },

    register: async ({ session, procedure, options, behaviour }) => {
        const { opened, handles } = sessions.get(session);
        const done = await wamp(opened.register(procedure, behave(session, behaviour, procedure), options ?? {}));
        handles.set(done.id, done);
        return { registration: encode(done.id) };
    },

    unregister: async ({ session, registration }) => {
        const { opened, handles } = sessions.get(session);
        await wamp(opened.unregister(handles.get(decode(registration))));
    },

    call: async (command) => {
        const { opened, calls } = sessions.get(command.session);
        const reply = opened.call(
            command.procedure,
            decode(command.args ?? []),
            decode(command.kwargs ?? {}),
            decode(command.options ?? {}),
        );
        calls.set(command.id, reply);
        reply.then(null, null, (step) => event('progress', command.session, { call: command.id, ...unwrapped(step) }));
        return unwrapped(await wamp(reply));
    },

    cancel: async ({ session, call, mode }) => {
        sessions.get(session).calls.get(call).cancel(mode ? { mode } : undefined);
    },

    subscribe: async ({ session, topic, options }) => {
        const { opened, handles } = sessions.get(session);
        const handler = (args, kwargs, { publication, ...details }) =>
            event('event', session, {
                subscribed: topic,
                publication: encode(publication),
                args: encode(args),
                kwargs: encode(kwargs),
                details: encode(present(details)),
            });
        const done = await wamp(opened.subscribe(topic, handler, options ?? {}));
        handles.set(done.id, done);
        return { subscription: encode(done.id) };
    },

    unsubscribe: async ({ session, subscription }) => {
        const { opened, handles } = sessions.get(session);
        await wamp(opened.unsubscribe(handles.get(decode(subscription))));
    },

    publish: async (command) => {
        const { opened } = sessions.get(command.session);
        const done = await wamp(
            opened.publish(
                command.topic,
                decode(command.args ?? []),
                decode(command.kwargs ?? {}),
                decode(command.options ?? {}),
            ),
        );
        return done ? { publication: encode(done.id) } : {};
    },
});
