// A callee and a caller in one program: `go run . callee` in one terminal, `go run . caller` in another.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/xconnio/xconn-go"
)

const url, realm = "ws://127.0.0.1:18080/ws", "realm1"

func greet(_ context.Context, invocation *xconn.Invocation) *xconn.InvocationResult {
	name, err := invocation.ArgString(0)
	if err != nil {
		return xconn.NewInvocationError("wamp.error.invalid_argument", "who is to be greeted?")
	}
	return xconn.NewInvocationResult(fmt.Sprintf("Hello, %s!", name))
}

func main() {
	ctx := context.Background()
	session, err := xconn.ConnectAnonymous(ctx, url, realm)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Leave()
	if len(os.Args) > 1 && os.Args[1] == "callee" {
		if registered := session.Register("com.example.greet", greet).Do(); registered.Err != nil {
			log.Fatal(registered.Err)
		}
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		<-interrupted
		return
	}
	result := session.Call("com.example.greet").Arg("world").Do()
	if result.Err != nil {
		log.Fatal(result.Err)
	}
	fmt.Println(result.ArgStringOr(0, ""))
}
