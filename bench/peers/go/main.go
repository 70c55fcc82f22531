// The peer in Go: fasthttp, and one connection to Redis.
//
//	go-peer -port N -redis /path/of/socket [-host ADDRESS] [-token TOKEN]
package main

import (
	"flag"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"

	"github.com/valyala/fasthttp"
)

type request struct {
	events []event
	part   part
	answer []byte
}

type service struct {
	path     string
	store    *store
	requests sync.Pool
}

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 0, "port to listen on")
	redis := flag.String("redis", "", "path of the socket of Redis")
	token := flag.String("token", "segment-development", "of the endpoint")

	flag.Parse()

	if *port == 0 || *redis == "" {
		log.Fatal("no port or no Redis: say -port N -redis /path/of/socket")
	}

	// little is kept from one request to the next, so collecting is cheap
	// and may be rare
	debug.SetGCPercent(800)

	s := &service{path: "/integrations/receive/" + *token, store: newStore(*redis)}
	s.requests.New = func() interface{} { return new(request) }

	server := &fasthttp.Server{
		Handler:                       s.handle,
		NoDefaultServerHeader:         true,
		NoDefaultContentType:          true,
		NoDefaultDate:                 true,
		DisableHeaderNamesNormalizing: true,
		ReadBufferSize:                16 << 10,
		MaxRequestBodySize:            16 << 20,
	}

	stop := make(chan os.Signal, 1)

	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	go func() {
		<-stop
		os.Exit(0)
	}()

	log.Fatal(server.ListenAndServe(*host + ":" + strconv.Itoa(*port)))
}

func (s *service) handle(ctx *fasthttp.RequestCtx) {
	// of the URI no more is looked at, so it need not be taken apart
	if string(ctx.RequestURI()) != s.path {
		refuse(ctx, &failure{404, "unknown_endpoint",
			"there is no endpoint with this token: take the URL from the source"})
		return
	}

	if !ctx.IsPost() {
		ctx.Response.Header.Set("Allow", "POST")
		refuse(ctx, &failure{405, "method_not_allowed", "events are sent by POST"})
		return
	}

	r := s.requests.Get().(*request)

	defer s.requests.Put(r)

	events, failed := parse(ctx.PostBody(), r.events[:0])

	r.events = events

	if failed != nil {
		refuse(ctx, failed)
		return
	}

	o, err := s.store.apply(events, &r.part)

	if err != nil {
		ctx.Response.Header.Set("Retry-After", "1")
		refuse(ctx, &failure{503, "redis_unavailable",
			"Redis did not confirm that the event was applied: send it again"})
		return
	}

	a := append(r.answer[:0], `{"accepted":`...)
	a = strconv.AppendInt(a, int64(o.accepted), 10)
	a = append(a, `,"duplicates":`...)
	a = strconv.AppendInt(a, int64(o.duplicates), 10)
	a = append(a, `,"ignored":`...)
	a = strconv.AppendInt(a, int64(o.ignored), 10)
	a = append(a, `,"runs":`...)
	a = strconv.AppendInt(a, int64(o.runs), 10)
	a = append(a, ",\"errors\":[]}\n"...)
	r.answer = a

	ctx.Response.Header.SetContentType("application/json")
	ctx.Response.SetBody(a)
}

func refuse(ctx *fasthttp.RequestCtx, f *failure) {
	ctx.Response.SetStatusCode(f.status)
	ctx.Response.Header.SetContentType("application/json")
	ctx.Response.SetBodyString(`{"error":{"code":"` + f.code + `","message":` +
		string(appendQuoted(nil, []byte(f.message))) + "}}\n")
}
