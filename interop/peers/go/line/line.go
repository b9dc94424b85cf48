// Package line is the line protocol's Go side: one JSON object a line, commands in, replies and events out.
//
// README.md two folders above describes the protocol. A peer hands Serve one function per operation.
package line

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

const safeIntegerMax = 1<<53 - 1

// Error is an ERROR from the router or the other side, or the end of the session.
type Error struct {
	URI    string
	Args   []any
	Kwargs map[string]any
}

func (e *Error) Error() string { return e.URI }

// Command is one line from the driver.
type Command struct {
	ID           json.Number     `json:"id"`
	Op           string          `json:"op"`
	Session      string          `json:"session"`
	URL          string          `json:"url"`
	Realm        string          `json:"realm"`
	Transport    string          `json:"transport"`
	Serializer   string          `json:"serializer"`
	Procedure    string          `json:"procedure"`
	Topic        string          `json:"topic"`
	Args         json.RawMessage `json:"args"`
	Kwargs       json.RawMessage `json:"kwargs"`
	Options      json.RawMessage `json:"options"`
	Chunks       json.RawMessage `json:"chunks"`
	Behaviour    Behaviour       `json:"behaviour"`
	Registration json.RawMessage `json:"registration"`
	Subscription json.RawMessage `json:"subscription"`
	Call         json.Number     `json:"call"`
	Mode         string          `json:"mode"`
}

// Behaviour says what a registered procedure does.
type Behaviour struct {
	Kind   string          `json:"kind"`
	Value  json.RawMessage `json:"value"`
	Count  int             `json:"count"`
	URI    string          `json:"uri"`
	Args   json.RawMessage `json:"args"`
	Kwargs json.RawMessage `json:"kwargs"`
}

// Operation carries out one command and returns the fields of its reply.
type Operation func(Command) (map[string]any, error)

var output sync.Mutex

func send(message map[string]any) {
	data, err := json.Marshal(message)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	output.Lock()
	defer output.Unlock()
	_, _ = os.Stdout.Write(append(data, '\n'))
}

// Event reports something that nobody asked for.
func Event(kind, session string, fields map[string]any) {
	message := map[string]any{"event": kind, "session": session}
	for key, value := range fields {
		message[key] = value
	}
	send(message)
}

var held = struct {
	sync.Mutex
	channel chan struct{}
}{channel: make(chan struct{})}

// Held closes at the next release: what a slow procedure waits for.
func Held() <-chan struct{} {
	held.Lock()
	defer held.Unlock()
	return held.channel
}

func release(Command) (map[string]any, error) {
	held.Lock()
	defer held.Unlock()
	close(held.channel)
	held.channel = make(chan struct{})
	return nil, nil
}

// Serve answers commands, each in its own goroutine, until standard input ends.
func Serve(operations map[string]Operation) {
	operations["release"] = release
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		text, err := input.ReadBytes('\n')
		if err != nil {
			return
		}
		var command Command
		if err := json.Unmarshal(text, &command); err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		go answer(operations[command.Op], command)
	}
}

func answer(operation Operation, command Command) {
	defer func() {
		if problem := recover(); problem != nil {
			send(map[string]any{"id": command.ID, "failure": fmt.Sprint("panic: ", problem)})
		}
	}()
	if operation == nil {
		send(map[string]any{"id": command.ID, "failure": "no operation " + command.Op})
		return
	}
	fields, err := operation(command)
	var failed *Error
	switch {
	case errors.As(err, &failed):
		detail := map[string]any{"uri": failed.URI, "args": Encode(failed.Args), "kwargs": Encode(failed.Kwargs)}
		send(map[string]any{"id": command.ID, "error": detail})
	case err != nil:
		send(map[string]any{"id": command.ID, "failure": err.Error()})
	default:
		if fields == nil {
			fields = map[string]any{}
		}
		send(map[string]any{"id": command.ID, "ok": fields})
	}
}

// Encode turns a WAMP value into line JSON: nothing is lost, whatever reads the line. A nil list or map is empty.
func Encode(value any) any {
	if value == nil {
		return nil
	}
	at := reflect.ValueOf(value)
	switch at.Kind() {
	case reflect.Slice:
		if at.Type().Elem().Kind() == reflect.Uint8 {
			return map[string]any{"$binary": base64.StdEncoding.EncodeToString(at.Bytes())}
		}
		list := make([]any, at.Len())
		for i := range list {
			list[i] = Encode(at.Index(i).Interface())
		}
		return list
	case reflect.Map:
		dict := make(map[string]any, at.Len())
		for _, key := range at.MapKeys() {
			dict[fmt.Sprint(key.Interface())] = Encode(at.MapIndex(key).Interface())
		}
		return dict
	case reflect.Float32, reflect.Float64:
		return map[string]any{"$float": strconv.FormatFloat(at.Float(), 'g', -1, 64)}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n := at.Int(); n > safeIntegerMax || n < -safeIntegerMax {
			return map[string]any{"$integer": strconv.FormatInt(n, 10)}
		}
		return at.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := at.Uint(); n > safeIntegerMax {
			return map[string]any{"$integer": strconv.FormatUint(n, 10)}
		}
		return at.Uint()
	case reflect.String:
		return at.String()
	case reflect.Bool:
		return at.Bool()
	default:
		if big, ok := value.(*big.Int); ok {
			return map[string]any{"$integer": big.String()}
		}
		if big, ok := value.(big.Int); ok {
			return map[string]any{"$integer": big.String()}
		}
		return fmt.Sprintf("%T: %v", value, value)
	}
}

// Decode is the inverse of Encode.
func Decode(text json.RawMessage) any {
	if len(text) == 0 {
		return nil
	}
	reader := json.NewDecoder(strings.NewReader(string(text)))
	reader.UseNumber()
	var value any
	if err := reader.Decode(&value); err != nil {
		panic(err)
	}
	return decoded(value)
}

func decoded(value any) any {
	switch value := value.(type) {
	case []any:
		list := make([]any, len(value))
		for i, inner := range value {
			list[i] = decoded(inner)
		}
		return list
	case map[string]any:
		if text, ok := value["$binary"].(string); ok {
			data, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				panic(err)
			}
			return data
		}
		if text, ok := value["$float"].(string); ok {
			number, err := strconv.ParseFloat(text, 64)
			if err != nil {
				panic(err)
			}
			return number
		}
		if text, ok := value["$integer"].(string); ok {
			return integer(text)
		}
		dict := make(map[string]any, len(value))
		for key, inner := range value {
			dict[key] = decoded(inner)
		}
		return dict
	case json.Number:
		return integer(value.String())
	default:
		return value
	}
}

func integer(text string) any {
	if number, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return number
}

// List decodes a list; absent is empty.
func List(text json.RawMessage) []any {
	list, _ := Decode(text).([]any)
	return list
}

// Dict decodes a map; absent is empty.
func Dict(text json.RawMessage) map[string]any {
	dict, _ := Decode(text).(map[string]any)
	if dict == nil {
		dict = map[string]any{}
	}
	return dict
}

// Payload is the args and kwargs of a reply, never null.
func Payload(args []any, kwargs map[string]any) map[string]any {
	if args == nil {
		args = []any{}
	}
	if kwargs == nil {
		kwargs = map[string]any{}
	}
	return map[string]any{"args": Encode(args), "kwargs": Encode(kwargs)}
}
