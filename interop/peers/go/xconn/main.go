// xconn for Go as a peer: WebSocket, rawsocket over TCP and Unix sockets.
package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"time"

	log "github.com/sirupsen/logrus"
	xconn "github.com/xconnio/xconn-go"

	"interop/line"
)

var serializers = map[string]xconn.SerializerSpec{
	"json":    xconn.JSONSerializerSpec,
	"msgpack": xconn.MsgPackSerializerSpec,
	"cbor":    xconn.CBORSerializerSpec,
}

type session struct {
	*xconn.Session
	lock          sync.Mutex
	registrations map[string]xconn.RegisterResponse
	subscriptions map[string]xconn.SubscribeResponse
}

var (
	sessionsLock sync.Mutex
	sessions     = map[string]*session{}
)

func named(name string) *session {
	sessionsLock.Lock()
	defer sessionsLock.Unlock()
	return sessions[name]
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/xconnio/xconn-go" {
			return module.Version
		}
	}
	return "?"
}

func about(line.Command) (map[string]any, error) {
	const deaf = "announces call_canceling, but stops reading at the first INTERRUPT"
	const noPassthru = "does not announce payload_passthru_mode"
	const noRace = "takes an event that comes right behind SUBSCRIBED for a protocol error"
	endpoints := [][]string{}
	for _, transport := range []string{"websocket", "rawsocket", "unix"} {
		for _, serializer := range []string{"json", "msgpack", "cbor"} {
			endpoints = append(endpoints, []string{transport, serializer})
		}
	}
	return map[string]any{
		"client":         "xconn-go",
		"version":        version(),
		"endpoints":      endpoints,
		"binary_in_json": "raw",
		"integer_max":    map[string]any{"json": 1 << 53},
		"loose_numbers":  "json",
		"unordered":      true,
		"lacks": map[string]string{
			"cancel.caller":              "cannot cancel a call",
			"cancel.callee":              deaf,
			"slow.callee":                deaf,
			"identified.callee":          "does not announce caller_identification",
			"identified.subscriber":      "does not announce publisher_identification",
			"retain.subscriber":          noRace,
			"order.subscriber":           "hands each event to a goroutine of its own",
			"publication_id.publisher":   "does not hand out the publication id",
			"publication_id.subscriber":  "does not hand out the publication id",
			"registration_id.callee":     "does not hand out the registration id",
			"subscription_id.subscriber": "does not hand out the subscription id",
			"passthru.caller":            noPassthru,
			"passthru.callee":            noPassthru,
			"passthru.publisher":         noPassthru,
			"passthru.subscriber":        noPassthru,
		},
	}, nil
}

func join(command line.Command) (map[string]any, error) {
	url := command.URL
	switch command.Transport {
	case "rawsocket":
		url = strings.Replace(url, "tcp://", "rs://", 1)
	case "unix":
		url = strings.Replace(url, "unix:/", "unix:///", 1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client := xconn.Client{SerializerSpec: serializers[command.Serializer]}
	joined, err := client.Connect(ctx, url, command.Realm)
	if err != nil {
		return nil, wampError(err)
	}
	own := &session{
		Session:       joined,
		registrations: map[string]xconn.RegisterResponse{},
		subscriptions: map[string]xconn.SubscribeResponse{},
	}
	sessionsLock.Lock()
	sessions[command.Session] = own
	sessionsLock.Unlock()
	joined.SetOnLeaveListener(func() { line.Event("left", command.Session, nil) })
	details := joined.Details()
	return map[string]any{
		"session_id": line.Encode(details.ID()),
		"realm":      details.Realm(),
		"authid":     details.AuthID(),
		"authrole":   details.AuthRole(),
	}, nil
}

func leave(command line.Command) (map[string]any, error) {
	return nil, named(command.Session).Leave()
}

func register(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	collector := &collector{}
	handler := func(_ context.Context, invocation *xconn.Invocation) *xconn.InvocationResult {
		if command.Behaviour.Kind == "collect" {
			return collector.collect(invocation)
		}
		return behave(command, invocation)
	}
	done := own.Register(command.Procedure, handler).Options(line.Dict(command.Options)).Do()
	if done.Err != nil {
		return nil, wampError(done.Err)
	}
	own.lock.Lock()
	defer own.lock.Unlock()
	own.registrations[command.Procedure] = done
	return map[string]any{"registration": command.Procedure}, nil
}

// A collector waits for all chunks of `[index, total]`, since this library runs each chunk in its own goroutine.
type collector struct {
	lock sync.Mutex
	seen [][]any
}

func (c *collector) collect(invocation *xconn.Invocation) *xconn.InvocationResult {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.seen = append(c.seen, invocation.Args())
	if invocation.Progress() {
		return xconn.NewInvocationError(xconn.ErrNoResult)
	}
	total := float(invocation.Args()[1])
	for deadline := time.Now().Add(5 * time.Second); float64(len(c.seen)) < total && time.Now().Before(deadline); {
		c.lock.Unlock()
		time.Sleep(time.Millisecond)
		c.lock.Lock()
	}
	sort.Slice(c.seen, func(i, j int) bool { return float(c.seen[i][0]) < float(c.seen[j][0]) })
	all := []any{}
	for _, each := range c.seen {
		all = append(all, each...)
	}
	c.seen = nil
	return &xconn.InvocationResult{Args: all}
}

func float(value any) float64 {
	number, _ := xconn.NewValue(value).Float64()
	if number == 0 {
		whole, _ := xconn.NewValue(value).Int64()
		number = float64(whole)
	}
	return number
}

func behave(command line.Command, invocation *xconn.Invocation) *xconn.InvocationResult {
	behaviour := command.Behaviour
	switch behaviour.Kind {
	case "echo":
		return &xconn.InvocationResult{Args: invocation.Args(), Kwargs: invocation.Kwargs()}
	case "add":
		var sum int64
		for _, each := range invocation.Args() {
			sum += int64(float(each))
		}
		return xconn.NewInvocationResult(sum)
	case "constant":
		return xconn.NewInvocationResult(line.Decode(behaviour.Value))
	case "progress":
		for step := 0; invocation.SendProgress != nil && step < behaviour.Count; step++ {
			if invocation.SendProgress([]any{step}, map[string]any{"of": behaviour.Count}) != nil {
				break
			}
		}
		return xconn.NewInvocationResult(behaviour.Count)
	case "error":
		args, kwargs := line.List(behaviour.Args), line.Dict(behaviour.Kwargs)
		return &xconn.InvocationResult{Err: behaviour.URI, Args: args, Kwargs: kwargs}
	case "details":
		seen := map[string]any{"procedure": command.Procedure}
		for key, value := range invocation.Details() {
			seen[key] = value
		}
		return &xconn.InvocationResult{Args: []any{}, Kwargs: seen}
	case "keywords":
		return &xconn.InvocationResult{Kwargs: line.Dict(behaviour.Kwargs)}
	case "slow":
		line.Event("invoked", command.Session, map[string]any{"procedure": command.Procedure})
		<-line.Held()
		return xconn.NewInvocationResult("late")
	}
	return xconn.NewInvocationError("com.example.no_such_behaviour")
}

func unregister(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	procedure, _ := line.Decode(command.Registration).(string)
	return nil, wampError(own.registrations[procedure].Unregister())
}

func call(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	options := line.Dict(command.Options)
	request := own.Call(command.Procedure).Options(options)
	if wanted, _ := options["receive_progress"].(bool); wanted {
		request.ProgressReceiver(func(result *xconn.ProgressResult) {
			fields := line.Payload(result.Args(), result.Kwargs())
			fields["call"] = command.ID
			line.Event("progress", command.Session, fields)
		})
	}
	if chunks := line.List(command.Chunks); chunks != nil {
		next := 0
		request.ProgressSender(func(context.Context) *xconn.Progress {
			next++
			args := chunks[next-1].([]any)
			if next < len(chunks) {
				return xconn.NewProgress(args...)
			}
			return xconn.NewFinalProgress(args...)
		})
	} else {
		request.Args(line.List(command.Args)...).Kwargs(line.Dict(command.Kwargs))
	}
	done := request.Do()
	if done.Err != nil {
		return nil, wampError(done.Err)
	}
	return line.Payload(done.Args(), done.Kwargs()), nil
}

func wampError(err error) error {
	var failed *xconn.Error
	if errors.As(err, &failed) {
		return &line.Error{URI: failed.URI, Args: failed.Args, Kwargs: failed.Kwargs}
	}
	return err
}

func subscribe(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	handler := func(event *xconn.Event) {
		fields := line.Payload(event.Args(), event.Kwargs())
		details := map[string]any{"topic": command.Topic}
		for key, value := range event.Details() {
			details[key] = value
		}
		fields["details"] = line.Encode(details)
		fields["subscribed"] = command.Topic
		line.Event("event", command.Session, fields)
	}
	done := own.Subscribe(command.Topic, handler).Options(line.Dict(command.Options)).Do()
	if done.Err != nil {
		return nil, wampError(done.Err)
	}
	own.lock.Lock()
	defer own.lock.Unlock()
	own.subscriptions[command.Topic] = done
	return map[string]any{"subscription": command.Topic}, nil
}

func unsubscribe(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	topic, _ := line.Decode(command.Subscription).(string)
	return nil, wampError(own.subscriptions[topic].Unsubscribe())
}

func publish(command line.Command) (map[string]any, error) {
	own := named(command.Session)
	request := own.Publish(command.Topic).Options(line.Dict(command.Options))
	done := request.Args(line.List(command.Args)...).Kwargs(line.Dict(command.Kwargs)).Do()
	if done.Err != nil {
		return nil, wampError(done.Err)
	}
	return nil, nil
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
		"subscribe":   subscribe,
		"unsubscribe": unsubscribe,
		"publish":     publish,
	})
}
