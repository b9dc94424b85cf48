// wampy.js as a peer: WebSocket with JSON, MessagePack and CBOR.

import { readFileSync } from 'node:fs';

import { Wampy } from 'wampy';
import { CborSerializer } from 'wampy/CborSerializer.js';
import { JsonSerializer } from 'wampy/JsonSerializer.js';
import { MsgpackSerializer } from 'wampy/MsgpackSerializer.js';
import WebSocket from 'ws';

import { WampError, decode, encode, event, hold, present, serve } from './line_protocol.mjs';

const serializers = { json: JsonSerializer, msgpack: MsgpackSerializer, cbor: CborSerializer };
const sessions = new Map();
const version = JSON.parse(readFileSync(new URL('../node_modules/wampy/package.json', import.meta.url))).version;

// wampy hands this constructor five arguments and expects the client of the `websocket` package; `ws` takes three.
class Socket extends WebSocket {
    constructor(url, protocols) {
        // One message a turn of the event loop, as browsers deliver them.
        super(url, protocols, { allowSynchronousEvents: false });
    }
}

const about = {
    client: 'wampy-js',
    version,
    endpoints: Object.keys(serializers).map((name) => ['websocket', name]),
    binary_in_json: 'raw',
    loose_numbers: true,
    integer_max: { json: 2 ** 53, cbor: 2 ** 53 },
    lacks: {
        'cancel.callee': 'does not announce call_canceling and breaks off at INTERRUPT',
        'exclude_me.publisher': 'never sends exclude_me: false',
        'retain.publisher': 'drops the retain option',
        'acknowledge.off': 'asks for acknowledgement always',
        'publication_id.subscriber': 'does not hand out the publication id',
        'extra_register_options.callee': 'sends no register options but match and invoke',
    },
};

/** The library's errors as the protocol's. */
async function wamp(promise) {
    try {
        return await promise;
    } catch (error) {
        if (error?.errorUri) {
            throw new WampError(error.errorUri, error.argsList, error.argsDict);
        }
        throw error;
    }
}

/** Its CBOR decoder hands out plain Uint8Arrays, which its encoder would send as typed arrays with a tag. */
function asBuffers(value) {
    if (value instanceof Uint8Array) {
        return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    if (Array.isArray(value)) {
        return value.map(asBuffers);
    }
    if (value && typeof value === 'object') {
        return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, asBuffers(inner)]));
    }
    return value;
}

function payload(command) {
    return { argsList: decode(command.args ?? []), argsDict: decode(command.kwargs ?? {}) };
}

function behave(session, behaviour, procedure) {
    const chunks = [];
    return async ({ argsList = [], argsDict = {}, details = {}, result_handler: yieldResult }) => {
        switch (behaviour.kind) {
            case 'echo': {
                const options = present({ ppt_scheme: details.ppt_scheme, ppt_serializer: details.ppt_serializer });
                return { argsList: asBuffers(argsList ?? []), argsDict: asBuffers(argsDict ?? {}), options };
            }
            case 'add':
                return { argsList: [argsList.reduce((sum, each) => sum + Number(each), 0)] };
            case 'constant':
                return { argsList: [decode(behaviour.value)] };
            case 'progress':
                for (let step = 0; details.receive_progress && step < behaviour.count; step += 1) {
                    yieldResult({ argsList: [step], argsDict: { of: behaviour.count }, options: { progress: true } });
                }
                return { argsList: [behaviour.count] };
            case 'error':
                throw { error: behaviour.uri, argsList: decode(behaviour.args), argsDict: decode(behaviour.kwargs) };
            case 'collect':
                chunks.push(...argsList);
                // A promise that never settles: the library would end the call with whatever it settles to.
                return details.progress ? new Promise(() => {}) : { argsList: chunks.splice(0) };
            case 'keywords':
                return { argsDict: decode(behaviour.kwargs) };
            case 'details':
                return { argsList: [], argsDict: { procedure, ...present(details) } };
            case 'slow':
                event('invoked', session, { procedure: details.procedure ?? procedure });
                return { argsList: [await hold()] };
            default:
                throw new Error(`no behaviour ${behaviour.kind}`);
        }
    };
}

serve({
    about: async () => about,

    join: async ({ session, url, realm, serializer }) => {
        const Serializer = serializers[serializer];
        const client = new Wampy(url, {
            realm,
            ws: Socket,
            serializer: new Serializer(),
            payloadSerializers: { json: new JsonSerializer(), msgpack: new MsgpackSerializer(), cbor: new CborSerializer() },
            uriValidation: 'loose',
            autoReconnect: false,
            onClose: () => event('left', session, {}),
            onError: (error) => console.error(session, error),
        });
        // The library sends and takes chunks and sends progressive results, but its HELLO announces none of these, so
        // a router that goes by what is announced must refuse the first and strip the second.
        client._wamp_features.roles.caller.features.progressive_call_invocations = true;
        client._wamp_features.roles.callee.features.progressive_call_invocations = true;
        client._wamp_features.roles.callee.features.progressive_call_results = true;
        const details = await wamp(client.connect());
        const handles = { client, calls: new Map(), topics: new Map(), procedures: new Map() };
        sessions.set(session, handles);
        const { realm: joined, authid, authrole, authmethod, authprovider } = details;
        return present({ session_id: encode(client.getSessionId()), realm: joined, authid, authrole, authmethod, authprovider });
    },

    leave: async ({ session }) => {
        const { client } = sessions.get(session);
        sessions.delete(session);
        await client.disconnect();
    },

    drop: async ({ session }) => {
        const { client } = sessions.get(session);
        sessions.delete(session);
        client._ws.terminate();
    },

    register: async ({ session, procedure, options, behaviour }) => {
        const { client, procedures } = sessions.get(session);
        const handler = behave(session, behaviour, procedure);
        const done = await wamp(client.register(procedure, handler, options ?? {}));
        procedures.set(done.registrationId, procedure);
        return { registration: encode(done.registrationId) };
    },

    unregister: async ({ session, registration }) => {
        const { client, procedures } = sessions.get(session);
        const procedure = procedures.get(decode(registration));
        // The library refuses to unregister a wildcard pattern; the session's end does it.
        if (!procedure.includes('..')) {
            await wamp(client.unregister(procedure));
        }
    },

    call: async (command) => {
        const { client, calls } = sessions.get(command.session);
        const { receive_progress: wanted, ...options } = decode(command.options ?? {});
        const report = ({ argsList, argsDict }) =>
            event('progress', command.session, {
                call: command.id,
                args: encode(argsList ?? []),
                kwargs: encode(argsDict ?? {}),
            });
        const advanced = { ...options, ...(wanted ? { progress_callback: report } : {}) };
        let reply;
        if (command.chunks?.length === 1) {
            reply = client.call(command.procedure, { argsList: decode(command.chunks[0]) }, advanced);
        } else if (command.chunks) {
            const [first, ...rest] = command.chunks.map((args) => ({ argsList: decode(args), argsDict: undefined }));
            const call = client.progressiveCall(command.procedure, first, advanced);
            rest.forEach((chunk, at) => call.sendData(chunk, { progress: at < rest.length - 1 }));
            reply = call.result;
        } else {
            reply = client.call(command.procedure, payload(command), advanced);
            calls.set(command.id, client.getOpStatus().reqId);
        }
        const { argsList, argsDict } = await wamp(reply);
        return { args: encode(argsList ?? []), kwargs: encode(argsDict ?? {}) };
    },

    cancel: async ({ session, call, mode }) => {
        const { client, calls } = sessions.get(session);
        client.cancel(calls.get(call), mode ? { mode } : undefined);
    },

    subscribe: async ({ session, topic, options }) => {
        const { client, topics } = sessions.get(session);
        const handler = ({ argsList, argsDict, details }) =>
            event('event', session, {
                subscribed: topic,
                args: encode(argsList ?? []),
                kwargs: encode(argsDict ?? {}),
                details: encode({ topic, ...present(details) }),
            });
        const chosen = Object.keys(options ?? {}).length > 0 ? options : undefined;
        const done = await wamp(client.subscribe(topic, handler, chosen));
        topics.set(done.subscriptionId, chosen);
        return { subscription: encode(done.subscriptionId) };
    },

    unsubscribe: async ({ session, subscription }) => {
        const { client, topics } = sessions.get(session);
        const done = wamp(client.unsubscribe(decode(subscription)));
        // The library never settles this promise for a subscription with options: it looks for it without them.
        if (!topics.get(decode(subscription))) {
            await done;
        }
    },

    publish: async (command) => {
        const { client } = sessions.get(command.session);
        const { acknowledge: _always, ...options } = decode(command.options ?? {});
        const done = await wamp(client.publish(command.topic, payload(command), options));
        return { publication: encode(done.publicationId) };
    },
});
