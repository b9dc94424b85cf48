// The nexus client as a peer: WebSocket, rawsocket over TCP and Unix sockets.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/gammazero/nexus/v3/client"
	"github.com/gammazero/nexus/v3/transport/serialize"
	"github.com/gammazero/nexus/v3/wamp"

	"interop/line"
)

var serializers = map[string]serialize.Serialization{
	"json":    client.JSON,
	"msgpack": client.MSGPACK,
	"cbor":    client.CBOR,
}

type session struct {
	*client.Client
	json      bool
	lock      sync.Mutex
	calls     map[string]context.CancelFunc
	topics    map[uint64]string
	processes map[uint64]string
}

var (
	sessionsLock sync.Mutex
	sessions     = map[string]*session{}
	errorURI     = regexp.MustCompile(`(wamp|bondy)\.error(\.[a-z0-9_]+)+`)
)

func named(name string) *session {
	sessionsLock.Lock()
	defer sessionsLock.Unlock()
	return sessions[name]
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/gammazero/nexus/v3" {
			return module.Version
		}
	}
	return "?"
}

func about(line.Command) (map[string]any, error) {
	endpoints := [][]string{}
	for _, transport := range []string{"websocket", "rawsocket", "unix"} {
		for _, serializer := range []string{"json", "msgpack", "cbor"} {
			endpoints = append(endpoints, []string{transport, serializer})
		}
	}
	return map[string]any{
		"client":      "nexus-go",
		"version":     version(),
		"endpoints":   endpoints,
		"integer_max": map[string]any{},
		"lacks": map[string]string{
			"publication_id.publisher": "does not hand out the publication id",
			"retain.subscriber":        "drops an event that comes right behind SUBSCRIBED",
		},
	}, nil
}

func join(command line.Command) (map[string]any, error) {
	url := command.URL
	if command.Transport == "unix" {
		url = strings.Replace(url, "unix:/", "unix:///", 1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	joined, err := client.ConnectNet(ctx, url, client.Config{
		Realm:         command.Realm,
		Serialization: serializers[command.Serializer],
		Logger:        log.New(io.Discard, "", 0),
	})
	if err != nil {
		return nil, wampError(err)
	}
	own := &session{
		Client:    joined,
		json:      command.Serializer == "json",
		calls:     map[string]context.CancelFunc{},
		topics:    map[uint64]string{},
		processes: map[uint64]string{},
	}
	sessionsLock.Lock()
	sessions[command.Session] = own
	sessionsLock.Unlock()
	go func() {
		<-joined.Done()
		fields := map[string]any{}
		if goodbye := joined.RouterGoodbye(); goodbye != nil {
			fields["reason"] = string(goodbye.Reason)
		}
		line.Event("left", command.Session, fields)
	}()
	fields := map[string]any{"session_id": line.Encode(uint64(joined.ID())), "realm": command.Realm}
	for _, key := range []string{"realm", "authid", "authrole", "authmethod", "authprovider"} {
		if value, ok := joined.RealmDetails()[key]; ok {
			fields[key] = line.Encode(value)
		}
	}
	return fields, nil
}

func leave(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	return nil, own.Close()
}

// toWire wraps binary for JSON, as this library asks of its users.
func (s *session) toWire(value any) any {
	if !s.json {
		return value
	}
	switch value := value.(type) {
	case []byte:
		return serialize.BinaryData(value)
	case []any:
		list := make([]any, len(value))
		for i, inner := range value {
			list[i] = s.toWire(inner)
		}
		return list
	case map[string]any:
		dict := make(map[string]any, len(value))
		for key, inner := range value {
			dict[key] = s.toWire(inner)
		}
		return dict
	default:
		return value
	}
}

// fromWire unwraps what toWire wraps.
func (s *session) fromWire(value any) any {
	if !s.json {
		return value
	}
	switch value := value.(type) {
	case string:
		if strings.HasPrefix(value, "\x00") {
			if data, err := base64.StdEncoding.DecodeString(value[1:]); err == nil {
				return data
			}
		}
		return value
	case wamp.List:
		return s.fromWire([]any(value))
	case []any:
		list := make([]any, len(value))
		for i, inner := range value {
			list[i] = s.fromWire(inner)
		}
		return list
	case wamp.Dict:
		return s.fromWire(map[string]any(value))
	case map[string]any:
		dict := make(map[string]any, len(value))
		for key, inner := range value {
			dict[key] = s.fromWire(inner)
		}
		return dict
	default:
		return value
	}
}

func (s *session) args(list []any) wamp.List {
	if list == nil {
		return nil
	}
	return wamp.List(s.toWire(list).([]any))
}

func (s *session) kwargs(dict map[string]any) wamp.Dict {
	if len(dict) == 0 {
		return nil
	}
	return wamp.Dict(s.toWire(dict).(map[string]any))
}

func (s *session) payload(args wamp.List, kwargs wamp.Dict) map[string]any {
	list, _ := s.fromWire(args).([]any)
	if list == nil {
		list = args
	}
	dict, _ := s.fromWire(kwargs).(map[string]any)
	if dict == nil {
		dict = kwargs
	}
	return line.Payload(list, dict)
}

func register(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	chunks := wamp.List{}
	handler := func(ctx context.Context, invocation *wamp.Invocation) client.InvokeResult {
		if command.Behaviour.Kind == "collect" {
			chunks = append(chunks, invocation.Arguments...)
			if more, _ := invocation.Details["progress"].(bool); more {
				return client.InvokeResult{Err: wamp.InternalProgressiveOmitResult}
			}
			all := chunks
			chunks = wamp.List{}
			return client.InvokeResult{Args: all}
		}
		return own.behave(ctx, command, invocation)
	}
	if err := own.Register(command.Procedure, handler, wamp.Dict(line.Dict(command.Options))); err != nil {
		return nil, wampError(err)
	}
	id, _ := own.RegistrationID(command.Procedure)
	own.lock.Lock()
	own.processes[uint64(id)] = command.Procedure
	own.lock.Unlock()
	return map[string]any{"registration": uint64(id)}, nil
}

func (s *session) behave(ctx context.Context, command line.Command, invocation *wamp.Invocation) client.InvokeResult {
	behaviour := command.Behaviour
	switch behaviour.Kind {
	case "echo":
		result := client.InvokeResult{
			Args:   s.args(toList(s.fromWire(invocation.Arguments))),
			Kwargs: s.kwargs(toDict(s.fromWire(invocation.ArgumentsKw))),
		}
		if scheme, ok := invocation.Details["ppt_scheme"]; ok {
			result.Args, result.Kwargs = invocation.Arguments, invocation.ArgumentsKw
			result.Options = wamp.Dict{"ppt_scheme": scheme, "ppt_serializer": invocation.Details["ppt_serializer"]}
		}
		return result
	case "add":
		var sum int64
		for _, each := range invocation.Arguments {
			number, _ := wamp.AsInt64(each)
			sum += number
		}
		return client.InvokeResult{Args: wamp.List{sum}}
	case "constant":
		return client.InvokeResult{Args: wamp.List{s.toWire(line.Decode(behaviour.Value))}}
	case "progress":
		for step := range behaviour.Count {
			if s.SendProgress(ctx, wamp.List{step}, wamp.Dict{"of": behaviour.Count}) != nil {
				break
			}
		}
		return client.InvokeResult{Args: wamp.List{behaviour.Count}}
	case "error":
		args, kwargs := s.args(line.List(behaviour.Args)), s.kwargs(line.Dict(behaviour.Kwargs))
		return client.InvokeResult{Err: wamp.URI(behaviour.URI), Args: args, Kwargs: kwargs}
	case "details":
		seen := wamp.Dict{"procedure": command.Procedure}
		for _, key := range []string{"caller", "caller_authid", "caller_authrole", "procedure"} {
			if value, ok := invocation.Details[key]; ok {
				seen[key] = value
			}
		}
		return client.InvokeResult{Args: wamp.List{}, Kwargs: seen}
	case "keywords":
		return client.InvokeResult{Kwargs: s.kwargs(line.Dict(behaviour.Kwargs))}
	case "slow":
		line.Event("invoked", command.Session, map[string]any{"procedure": command.Procedure})
		select {
		case <-ctx.Done():
			line.Event("interrupted", command.Session, map[string]any{"procedure": command.Procedure})
			return client.InvocationCanceled
		case <-line.Held():
			return client.InvokeResult{Args: wamp.List{"late"}}
		}
	}
	return client.InvokeResult{Err: "com.example.no_such_behaviour"}
}

func toList(value any) []any {
	switch value := value.(type) {
	case []any:
		return value
	case wamp.List:
		return value
	}
	return nil
}

func toDict(value any) map[string]any {
	switch value := value.(type) {
	case map[string]any:
		return value
	case wamp.Dict:
		return value
	}
	return nil
}

func unregister(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	id := number(line.Decode(command.Registration))
	return nil, wampError(own.Unregister(own.processes[id]))
}

func number(value any) uint64 {
	id, _ := wamp.AsInt64(value)
	return uint64(id)
}

func call(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	own.lock.Lock()
	own.calls[command.ID.String()] = cancel
	own.lock.Unlock()
	options := wamp.Dict(line.Dict(command.Options))
	var progress client.ProgressHandler
	if wanted, _ := options["receive_progress"].(bool); wanted {
		progress = func(result *wamp.Result) {
			fields := own.payload(result.Arguments, result.ArgumentsKw)
			fields["call"] = command.ID
			line.Event("progress", command.Session, fields)
		}
	}
	var result *wamp.Result
	var err error
	if chunks := line.List(command.Chunks); chunks != nil {
		next := 0
		feed := func(context.Context) (wamp.Dict, wamp.List, wamp.Dict, error) {
			next++
			return wamp.Dict{"progress": next < len(chunks)}, wamp.List(chunks[next-1].([]any)), nil, nil
		}
		result, err = own.CallProgressive(ctx, command.Procedure, feed, progress)
	} else {
		args, kwargs := own.args(line.List(command.Args)), own.kwargs(line.Dict(command.Kwargs))
		if _, passthru := options["ppt_scheme"]; passthru {
			args, kwargs = line.List(command.Args), line.Dict(command.Kwargs)
		}
		result, err = own.Call(ctx, command.Procedure, options, args, kwargs, progress)
	}
	if err != nil {
		return nil, own.callError(err)
	}
	return own.payload(result.Arguments, result.ArgumentsKw), nil
}

func (s *session) callError(err error) error {
	var failed client.RPCError
	if errors.As(err, &failed) {
		return &line.Error{
			URI:    string(failed.Err.Error),
			Args:   toList(s.fromWire(failed.Err.Arguments)),
			Kwargs: toDict(s.fromWire(failed.Err.ArgumentsKw)),
		}
	}
	if errors.Is(err, context.Canceled) {
		return &line.Error{URI: "wamp.error.canceled", Args: []any{"locally"}}
	}
	return err
}

// wampError finds the URI in the text that this library makes of an ERROR for anything but a call.
func wampError(err error) error {
	if err == nil {
		return nil
	}
	if uri := errorURI.FindString(err.Error()); uri != "" {
		return &line.Error{URI: uri, Args: []any{err.Error()}}
	}
	return err
}

func cancelCall(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	if err := own.SetCallCancelMode(command.Mode); err != nil {
		return nil, err
	}
	own.lock.Lock()
	defer own.lock.Unlock()
	own.calls[command.Call.String()]()
	return nil, nil
}

func subscribe(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	handler := func(event *wamp.Event) {
		fields := own.payload(event.Arguments, event.ArgumentsKw)
		details := wamp.Dict{"topic": command.Topic}
		for key, value := range event.Details {
			details[key] = value
		}
		fields["details"] = line.Encode(details)
		fields["subscribed"] = command.Topic
		fields["publication"] = line.Encode(uint64(event.Publication))
		line.Event("event", command.Session, fields)
	}
	if err := own.Subscribe(command.Topic, handler, wamp.Dict(line.Dict(command.Options))); err != nil {
		return nil, wampError(err)
	}
	id, _ := own.SubscriptionID(command.Topic)
	own.lock.Lock()
	own.topics[uint64(id)] = command.Topic
	own.lock.Unlock()
	return map[string]any{"subscription": line.Encode(uint64(id))}, nil
}

func unsubscribe(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	id := number(line.Decode(command.Subscription))
	return nil, wampError(own.Unsubscribe(own.topics[id]))
}

func publish(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	options := wamp.Dict(line.Dict(command.Options))
	args, kwargs := own.args(line.List(command.Args)), own.kwargs(line.Dict(command.Kwargs))
	if _, passthru := options["ppt_scheme"]; passthru {
		args, kwargs = line.List(command.Args), line.Dict(command.Kwargs)
	}
	return nil, wampError(own.Publish(command.Topic, options, args, kwargs))
}

func main() {
	log.SetOutput(os.Stderr)
	line.Serve(map[string]line.Operation{
		"about":       about,
		"join":        join,
		"leave":       leave,
		"register":    register,
		"unregister":  unregister,
		"call":        call,
		"cancel":      cancelCall,
		"subscribe":   subscribe,
		"unsubscribe": unsubscribe,
		"publish":     publish,
	})
}
