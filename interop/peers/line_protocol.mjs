// The line protocol's JavaScript side: one JSON object a line, commands in, replies and events out.
// `README.md` in the folder above describes the protocol. Libraries that print would corrupt the stream, so the
// console writes to standard error.

import { Console } from 'node:console';
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

globalThis.console = new Console(process.stderr, process.stderr);

/** An ERROR from the router or the other side, or the end of the session. */
export class WampError extends Error {
    constructor(uri, args, kwargs) {
        super(uri);
        Object.assign(this, { uri, args: args ?? [], kwargs: kwargs ?? {} });
    }
}

/** A WAMP value as line JSON: nothing is lost, whatever reads the line. */
export function encode(value) {
    if (value === undefined || value === null) {
        return null;
    }
    if (typeof value === 'bigint') {
        return { $integer: value.toString() };
    }
    if (typeof value === 'number') {
        if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
            return value;
        }
        return Number.isInteger(value) ? { $integer: BigInt(value).toString() } : { $float: String(value) };
    }
    if (value instanceof Uint8Array) {
        return { $binary: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
    }
    if (value && typeof value.slice === 'function' && value.constructor?.name === 'BufferList') {
        return { $binary: value.slice().toString('base64') };
    }
    if (Array.isArray(value)) {
        return value.map(encode);
    }
    if (value instanceof Map) {
        return encode(Object.fromEntries(value));
    }
    if (typeof value === 'object') {
        return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, encode(inner)]));
    }
    return value;
}

/** The inverse of `encode`; an integer beyond 2^53 becomes a BigInt. */
export function decode(value) {
    if (Array.isArray(value)) {
        return value.map(decode);
    }
    if (value && typeof value === 'object') {
        if ('$binary' in value) {
            return Buffer.from(value.$binary, 'base64');
        }
        if ('$float' in value) {
            return Number(value.$float);
        }
        if ('$integer' in value) {
            const big = BigInt(value.$integer);
            return big === 2n ** 53n || big === -(2n ** 53n) ? Number(big) : big;
        }
        return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decode(inner)]));
    }
    return value;
}

/** Details without the keys that are absent. */
export function present(details) {
    return Object.fromEntries(Object.entries(details ?? {}).filter(([, value]) => value !== undefined && value !== null));
}

function send(message) {
    let rest = Buffer.from(JSON.stringify(message) + '\n');
    while (rest.length > 0) {
        try {
            rest = rest.subarray(writeSync(1, rest));
        } catch (error) {
            if (error.code !== 'EAGAIN') {
                throw error;
            }
        }
    }
}

/** Reports something that nobody asked for. */
export function event(kind, session, fields) {
    send({ event: kind, session, ...fields });
}

let held = [];

/** What a slow procedure waits for: `release`. */
export function hold() {
    return new Promise((resolve) => held.push(resolve));
}

async function handle(operations, command) {
    try {
        const operation = operations[command.op];
        if (!operation) {
            throw new Error(`no operation ${command.op}`);
        }
        send({ id: command.id, ok: (await operation(command)) ?? {} });
    } catch (error) {
        if (error instanceof WampError) {
            const { uri, args, kwargs } = error;
            send({ id: command.id, error: { uri, args: encode(args), kwargs: encode(kwargs) } });
        } else {
            send({ id: command.id, failure: String(error?.stack ?? error) });
        }
    }
}

/** Serves until standard input ends. */
export function serve(operations) {
    operations.release = async () => {
        const waiting = held;
        held = [];
        waiting.forEach((resolve) => resolve('late'));
    };
    process.on('uncaughtException', (error) => console.error(error));
    process.on('unhandledRejection', (error) => console.error(error));
    const lines = createInterface({ input: process.stdin });
    lines.on('line', (line) => handle(operations, JSON.parse(line)));
    lines.on('close', () => process.exit(0));
}
