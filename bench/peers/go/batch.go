package main

// What one call has Redis do: the events of all requests that came while the
// call before was under way, in the form that they are sent in.

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/maphash"
	"sort"
	"strconv"
	"time"

	crand "crypto/rand"
)

const (
	batchEvents    = 4000    // more come only in one request
	batchRuns      = 6000    // likewise
	batchCatalogue = 200     // event keys; a byte has their number
	batchBytes     = 8 << 20 // of runs

	head1 = `","trigger_id":"`
	head2 = `","workflow":"new-comment","environment":"development","source":"segment",` +
		`"event":"track/Comment Created","message_id":`
	head3 = `,"action":"comment-created","recipient":{"collection":"$users","id":`
	user  = `{"collection":"$users","id":`

	mapped = "Comment Created" // the event that the action is for
)

type counted struct {
	key string
	n   int
}

type batch struct {
	runs, marks, recipients, stored, fields, records []byte
	quoted                                           []byte // for a moment

	events, nruns, nstored int
	nfields                int // arguments
	catalogue              []counted
	seen                   map[uint64]struct{} // marks
	runsEnd                []int               // of each event

	waiting int
	done    chan struct{}

	// what Redis said
	err     error
	dropped []int // events, and runs as negative numbers
}

// What became of a request's events.
type outcome struct {
	accepted, duplicates, ignored, runs int
}

// A request's part of a batch.
type part struct {
	from, to int // its events
	repeats  int // of what was in the batch already
	handled  []bool
}

var (
	seed   = maphash.MakeSeed()
	random = entropy()

	now   int64 // ms
	clock []byte
)

func entropy() uint64 {
	var b [8]byte

	if _, err := crand.Read(b[:]); err != nil {
		panic(err)
	}

	return binary.LittleEndian.Uint64(b[:])
}

func (b *batch) reset() {
	*b = batch{
		runs: b.runs[:0], marks: b.marks[:0], recipients: b.recipients[:0],
		stored: b.stored[:0], fields: b.fields[:0], records: b.records[:0],
		catalogue: b.catalogue[:0], runsEnd: b.runsEnd[:0], dropped: b.dropped[:0],
		quoted: b.quoted, seen: b.seen, done: make(chan struct{}),
	}

	if b.seen == nil {
		b.seen = make(map[uint64]struct{})
	}

	for mark := range b.seen {
		delete(b.seen, mark)
	}
}

func (b *batch) full() bool {
	return b.events >= batchEvents || b.nruns >= batchRuns || len(b.runs) >= batchBytes ||
		len(b.catalogue) >= batchCatalogue
}

// Adds the events of a request.
func (b *batch) add(events []event, p *part) {
	if ms := time.Now().UnixMilli(); ms != now {
		now = ms
		clock = time.UnixMilli(ms).UTC().AppendFormat(clock[:0], "2006-01-02T15:04:05.000Z")
	}

	p.from, p.repeats, p.handled = b.events, 0, p.handled[:0]

	for i := range events {
		e := &events[i]
		message := text(e.message)

		if len(message) == 0 || len(message) > maxMessage {
			e.message = null
			b.marks = appendBulk(b.marks, appendUUID(nil)) // which nothing repeats

		} else {
			mark := maphash.Bytes(seed, message)

			if _, ok := b.seen[mark]; ok {
				p.repeats++
				continue
			}

			b.seen[mark] = struct{}{}
			b.marks = appendBulk(b.marks, message)
		}

		b.events++
		handled := false

		switch {
		case string(e.kind) == "identify":
			if given(e.user) {
				b.identify(e)
				handled = true
			}

		case string(e.kind) == "track" && string(e.name) == mapped:
			b.trigger(e)
			handled = true
		}

		p.handled = append(p.handled, handled)
		b.runsEnd = append(b.runsEnd, b.nruns)
		b.records = append(b.records, byte(b.nruns>>16), byte(b.nruns>>8), byte(b.nruns),
			byte(b.nstored>>8), byte(b.nstored), b.count(e))
	}

	p.to = b.events
}

// The number of an event's key in the catalogue.  What is one too many counts
// as the last.
func (b *batch) count(e *event) byte {
	track := string(e.kind) == "track"

	for i := range b.catalogue {
		c := &b.catalogue[i]

		if track && len(c.key) == len(e.name)+6 && c.key[6:] == string(e.name) && c.key[5] == '/' ||
			!track && c.key == string(e.kind) {
			c.n++
			return byte(i + 1)
		}
	}

	if len(b.catalogue) == 255 {
		b.catalogue[254].n++
		return 255
	}

	key := string(e.kind)

	if track {
		key += "/" + string(e.name)
	}

	b.catalogue = append(b.catalogue, counted{key, 1})

	return byte(len(b.catalogue))
}

func (b *batch) identify(e *event) {
	n := 4
	named, phoned := false, false

	var first, last []byte

	for _, f := range e.fields {
		switch string(f.name) {
		case "id", "updated_at", "collection":
			continue
		case "name":
			named = true
		case "phone_number":
			phoned = true
		case "firstName":
			first = f.value
		case "lastName":
			last = f.value
		}

		n += 2
	}

	first, last = text(first), text(last)
	both := !named && first != nil && last != nil

	if both {
		n += 2
	}

	if phoned {
		for _, f := range e.fields {
			if string(f.name) == "phone" {
				n -= 2
			}
		}
	}

	b.store(identity(e.user), n)

	for _, f := range e.fields {
		switch string(f.name) {
		case "id", "updated_at", "collection":
			continue
		case "phone":
			if phoned {
				continue
			}

			b.fields = append(b.fields, "$12\r\nphone_number\r\n"...)
		case "createdAt":
			b.fields = append(b.fields, "$10\r\ncreated_at\r\n"...)
		default:
			b.fields = appendBulk(b.fields, f.name)
		}

		b.fields = appendBulk(b.fields, f.value)
	}

	if both {
		name := append(append(append([]byte{}, first...), ' '), last...)

		b.fields = append(b.fields, "$4\r\nname\r\n"...)
		b.quoted = appendQuoted(b.quoted[:0], name)
		b.fields = appendBulk(b.fields, b.quoted)
	}
}

// Begins a user's fields, of which n arguments are to follow in all.
func (b *batch) store(id []byte, n int) {
	b.nstored++
	b.nfields += n + 1
	b.stored = appendBulk(b.stored, id)
	b.fields = appendNumber(b.fields, n)
	b.fields = append(b.fields, "$2\r\nid\r\n"...)
	b.quoted = appendQuoted(b.quoted[:0], id)
	b.fields = appendBulk(b.fields, b.quoted)
	b.fields = append(b.fields, "$10\r\nupdated_at\r\n$26\r\n\""...)
	b.fields = append(b.fields, clock...)
	b.fields = append(b.fields, "\"\r\n"...)
}

// Adds the runs of a track.
func (b *batch) trigger(e *event) {
	list := e.recipients

	if !given(list) {
		return
	}

	var room [2048]byte

	var id [36]byte

	trigger := appendUUID(id[:0])
	tail := append(room[:0], `},"actor":`...)

	if actor := reference(e.actor); actor != nil {
		tail = append(append(append(tail, user...), actor...), '}')
	} else {
		tail = append(tail, "null"...)
	}

	tail = append(append(tail, `,"tenant":`...), orNull(reference(e.tenant))...)
	tail = append(append(tail, `,"cancellation_key":`...), orNull(reference(e.comment))...)
	tail = append(tail, `,"data":`...)

	if given(e.properties) {
		tail = append(tail, e.properties...)
	} else {
		tail = append(tail, "{}"...)
	}

	tail = append(tail, `,"timestamp":`...)

	if len(e.timestamp) > 0 && e.timestamp[0] == '"' {
		tail = append(tail, e.timestamp...)
	} else {
		tail = append(tail, "null"...)
	}

	tail = append(append(append(tail, `,"enqueued_at":"`...), clock...), `","test":false}`...)

	if list[0] != '[' {
		b.recipient(list, e, trigger, tail, nil)
		return
	}

	if elements(list) > maxRecipients {
		return
	}

	var taken map[string]bool

	r := reader{b: list, i: 1}

	for first := true; r.more(&first, ']'); {
		value := r.value()

		if taken == nil && r.peek() == ',' {
			taken = make(map[string]bool)
		}

		b.recipient(value, e, trigger, tail, taken)
	}
}

func elements(list []byte) int {
	r := reader{b: list, i: 1}
	first, n := true, 0

	for ; r.more(&first, ']'); n++ {
		r.skip(0)
	}

	return n
}

func (b *batch) recipient(value []byte, e *event, trigger, tail []byte, taken map[string]bool) {
	id := b.inline(value)

	if id == nil {
		return
	}

	b.quoted = appendQuoted(b.quoted[:0], id)

	if taken != nil {
		if taken[string(id)] {
			return
		}

		taken[string(id)] = true
	}

	b.nruns++
	b.recipients = appendBulk(b.recipients, id)

	run := b.runs

	run = append(run, '$')
	run = strconv.AppendInt(run, int64(len(`{"id":"`)+36+len(head1)+36+len(head2)+len(e.message)+
		len(head3)+len(b.quoted)+len(tail)), 10)
	run = append(run, "\r\n{\"id\":\""...)
	run = appendUUID(run)
	run = append(run, head1...)
	run = append(run, trigger...)
	run = append(run, head2...)
	run = append(run, e.message...)
	run = append(run, head3...)
	run = append(run, b.quoted...)
	run = append(run, tail...)
	b.runs = append(run, "\r\n"...)
}

// The id of a recipient, nil if it is no user's; stores it if it is an object.
func (b *batch) inline(value []byte) []byte {
	if value[0] != '{' {
		return identity(value)
	}

	var id []byte

	n := 4
	r := reader{b: value, i: 1}

	for first := true; ; {
		name, ok := r.member(&first)
		if !ok {
			break
		}

		value := r.value()

		switch string(name) {
		case "id":
			id = identity(value)
		case "collection":
			if string(text(value)) != "$users" {
				return nil
			}
		case "updated_at":
		default:
			n += 2
		}
	}

	if id == nil {
		return nil
	}

	b.store(id, n)

	r = reader{b: value, i: 1}

	for first := true; ; {
		name, ok := r.member(&first)
		if !ok {
			return id
		}

		value := r.value()

		switch string(name) {
		case "id", "collection", "updated_at":
		default:
			b.fields = appendBulk(b.fields, name)
			b.fields = appendBulk(b.fields, value)
		}
	}
}

// What became of a part, once the batch is done.
func (b *batch) outcome(p *part) outcome {
	o := outcome{duplicates: p.repeats}

	for _, handled := range p.handled {
		if handled {
			o.accepted++
		} else {
			o.ignored++
		}
	}

	if p.from < p.to {
		o.runs = b.runsEnd[p.to-1] - b.runsBefore(p.from)
	}

	for _, n := range b.dropped {
		if n < 0 {
			e := sort.SearchInts(b.runsEnd, -n)

			if e >= p.from && e < p.to {
				o.runs--
			}

			continue
		}

		if n--; n < p.from || n >= p.to {
			continue
		}

		o.duplicates++
		o.runs -= b.runsEnd[n] - b.runsBefore(n)

		if p.handled[n-p.from] {
			o.accepted--
		} else {
			o.ignored--
		}
	}

	return o
}

func (b *batch) runsBefore(e int) int {
	if e == 0 {
		return 0
	}

	return b.runsEnd[e-1]
}

var null = []byte("null")

func orNull(value []byte) []byte {
	if value == nil {
		return null
	}

	return value
}

// The id of a parameter that is an id or an object with one, as JSON.
func reference(value []byte) []byte {
	if len(value) > 0 && value[0] == '{' {
		r := reader{b: value}
		value = r.idIn()
	}

	id := identity(value)

	switch {
	case id == nil:
		return nil
	case value[0] == '"':
		return value
	}

	return appendQuoted(nil, id)
}

func appendQuoted(to, text []byte) []byte {
	plain := true

	for _, c := range text {
		if c == '"' || c == '\\' || c < ' ' {
			plain = false
		}
	}

	if plain {
		return append(append(append(to, '"'), text...), '"')
	}

	quoted, _ := json.Marshal(string(text))

	return append(to, quoted...)
}

func appendBulk(to, value []byte) []byte {
	to = append(to, '$')
	to = strconv.AppendInt(to, int64(len(value)), 10)
	to = append(to, '\r', '\n')
	to = append(to, value...)

	return append(to, '\r', '\n')
}

func appendNumber(to []byte, n int) []byte {
	var room [20]byte

	return appendBulk(to, strconv.AppendInt(room[:0], int64(n), 10))
}

// splitmix64: what is wanted of the ids is that there are no two of them.
func next() uint64 {
	random += 0x9e3779b97f4a7c15
	x := random
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb

	return x ^ x>>31
}

// A random UUID, version 4.
func appendUUID(to []byte) []byte {
	var b [16]byte

	binary.LittleEndian.PutUint64(b[:], next())
	binary.LittleEndian.PutUint64(b[8:], next())

	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80

	var out [36]byte

	hex.Encode(out[:8], b[:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:], b[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'

	return append(to, out[:]...)
}
