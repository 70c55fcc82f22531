package main

// From a body to its events.  The one action's parameters are members that are
// looked for by name while the body is read.

import "bytes"

const (
	maxBatch      = 4000
	maxRecipients = 1000
	maxMessage    = 255
	maxName       = 512
)

type field struct {
	name, value []byte
}

// Values as they stand in the body; nil is what was not there.
type event struct {
	kind, name, message, user, timestamp []byte
	properties, context, traits, batch   []byte
	recipients, actor, tenant, comment   []byte
	fields                               []field // of traits
}

type failure struct {
	status        int
	code, message string
}

var (
	notJSON = &failure{400, "invalid_json",
		"the body is no JSON object or array: in the destination, look at the mapping"}
	tooMany = &failure{413, "batch_too_large",
		"the batch has more than 4000 events: send smaller ones"}
	notEvent = &failure{400, "invalid_event", "an event must be a JSON object"}
	notKind  = &failure{400, "invalid_event", `"type" is none of the six: expected "track", ` +
		`"identify", "page", "screen", "group" or "alias"`}
	notName = &failure{400, "invalid_event",
		`"event" must be a string of 1 to 512 bytes, the name of the event`}
	notProperties = &failure{400, "invalid_event", `"properties" must be an object or null`}
	notTraits     = &failure{400, "invalid_event", `"traits" must be an object or null`}
	notUser       = &failure{400, "invalid_event",
		`"userId" must be a string or an integer of 1 to 256 bytes without control characters`}
)

// Reads a body into events, of which it uses what memory they have.
func parse(body []byte, events []event) ([]event, *failure) {
	r := reader{b: body}

	var failed *failure

	switch r.peek() {
	case '[':
		events, failed = parseArray(&r, events)

	case '{':
		events = grow(events)
		parseEvent(&r, &events[0])

		if e := &events[0]; e.kind == nil && len(e.batch) > 0 && e.batch[0] == '[' && !r.bad {
			events, failed = parseArray(&reader{b: e.batch}, events[:0])
		}

	default:
		return events, notJSON
	}

	if failed != nil {
		return events, failed
	}

	if r.peek(); r.bad || r.i != len(body) {
		return events, notJSON
	}

	for i := range events {
		if failed = events[i].check(); failed != nil {
			return events, failed
		}
	}

	return events, nil
}

func parseArray(r *reader, events []event) ([]event, *failure) {
	r.i++

	for first := true; r.more(&first, ']'); {
		if r.peek() != '{' {
			return events, notEvent
		}

		if len(events) == maxBatch {
			return events, tooMany
		}

		events = grow(events)
		parseEvent(r, &events[len(events)-1])
	}

	if r.bad {
		return events, notJSON
	}

	return events, nil
}

// One more event, empty but for the room that one before it had.
func grow(events []event) []event {
	if len(events) < cap(events) {
		events = events[:len(events)+1]
		e := &events[len(events)-1]
		*e = event{fields: e.fields[:0]}

		return events
	}

	return append(events, event{})
}

func parseEvent(r *reader, e *event) {
	r.take('{')

	for first := true; ; {
		name, ok := r.member(&first)
		if !ok {
			return
		}

		switch string(name) {
		case "type":
			e.kind = r.value()
		case "event":
			e.name = r.value()
		case "messageId":
			e.message = r.value()
		case "userId":
			e.user = r.value()
		case "timestamp":
			e.timestamp = r.value()
		case "context":
			e.context = r.value()
		case "batch":
			e.batch = r.value()
		case "properties":
			e.parseProperties(r)
		case "traits":
			e.parseTraits(r)
		default:
			r.skip(1)
		}
	}
}

func (e *event) parseProperties(r *reader) {
	e.recipients, e.actor, e.tenant, e.comment = nil, nil, nil, nil

	if r.peek() != '{' {
		e.properties = r.value()
		return
	}

	at := r.i
	r.i++

	for first := true; ; {
		name, ok := r.member(&first)
		if !ok {
			break
		}

		switch string(name) {
		case "recipients":
			e.recipients = r.value()
		case "commenter":
			e.actor = r.idIn()
		case "org":
			e.tenant = r.value()
		case "comment":
			e.comment = r.idIn()
		default:
			r.skip(2)
		}
	}

	if !r.bad {
		e.properties = r.b[at:r.i]
	}
}

// The value of the member `id` of what comes, if it is an object.
func (r *reader) idIn() []byte {
	if r.peek() != '{' {
		r.skip(2)
		return nil
	}

	r.i++

	var id []byte

	for first := true; ; {
		name, ok := r.member(&first)
		if !ok {
			return id
		}

		if string(name) == "id" {
			id = r.value()
		} else {
			r.skip(3)
		}
	}
}

func (e *event) parseTraits(r *reader) {
	e.fields = e.fields[:0]

	if r.peek() != '{' {
		e.traits = r.value()
		return
	}

	at := r.i
	r.i++

	for first := true; ; {
		name, ok := r.member(&first)
		if !ok {
			break
		}

		e.fields = append(e.fields, field{name, r.value()})
	}

	if !r.bad {
		e.traits = r.b[at:r.i]
	}
}

// What is wrong with an event, if anything; puts its type in lower case.
func (e *event) check() *failure {
	switch string(e.kind) {
	case `"track"`, `"identify"`, `"page"`, `"screen"`, `"group"`, `"alias"`:
		e.kind = e.kind[1 : len(e.kind)-1]

	default:
		e.kind = bytes.ToLower(text(e.kind))

		switch string(e.kind) {
		case "track", "identify", "page", "screen", "group", "alias":
		default:
			return notKind
		}
	}

	if given(e.properties) && e.properties[0] != '{' {
		return notProperties
	}

	if string(e.kind) == "track" {
		e.name = text(e.name)

		if len(e.name) == 0 || len(e.name) > maxName {
			return notName
		}
	}

	if string(e.kind) != "identify" {
		return nil
	}

	if !given(e.traits) && given(e.context) && e.context[0] == '{' {
		e.contextTraits()
	}

	if given(e.traits) && e.traits[0] != '{' {
		return notTraits
	}

	if given(e.user) && identity(e.user) == nil {
		return notUser
	}

	return nil
}

func (e *event) contextTraits() {
	r := reader{b: e.context, i: 1}

	for first := true; ; {
		name, ok := r.member(&first)
		if !ok {
			return
		}

		if string(name) == "traits" {
			e.parseTraits(&r)
		} else {
			r.skip(1)
		}
	}
}
