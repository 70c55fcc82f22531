package main

// JSON as RFC 8259 has it, read once: what is wanted of a body are slices of
// it.  Nothing is decoded but a string with an escape in it, and only where
// its text is needed.

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"unicode/utf8"
)

const (
	maxDepth = 128

	ones    = 0x0101010101010101
	highs   = 0x8080808080808080
	spaces  = 0x2020202020202020
	quotes  = 0x2222222222222222
	escapes = 0x5c5c5c5c5c5c5c5c
)

// A reader stays where the body is no JSON.
type reader struct {
	b   []byte
	i   int
	bad bool
}

func (r *reader) fail() { r.bad = true }

// The next byte that is no space, 0 at the end.
func (r *reader) peek() byte {
	for r.i < len(r.b) {
		c := r.b[r.i]
		if c > ' ' {
			return c
		}

		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			break
		}

		r.i++
	}

	return 0
}

// Whether the next byte is this one, which is taken then.
func (r *reader) take(c byte) bool {
	if r.peek() != c {
		return false
	}

	r.i++

	return true
}

// Whether there is another element, or member, before the end of the list.
func (r *reader) more(first *bool, end byte) bool {
	if r.bad || r.take(end) {
		return false
	}

	if *first {
		*first = false
		return true
	}

	if !r.take(',') {
		r.fail()
		return false
	}

	return true
}

// The name of the next member of an object whose brace has been taken.
func (r *reader) member(first *bool) ([]byte, bool) {
	if !r.more(first, '}') {
		return nil, false
	}

	r.peek()

	name := r.str()

	if r.bad || !r.take(':') {
		r.fail()
		return nil, false
	}

	return text(name), true
}

// A value of any kind, as it stands there.
func (r *reader) value() []byte {
	r.peek()

	at := r.i
	r.skip(0)

	if r.bad {
		return nil
	}

	return r.b[at:r.i]
}

func (r *reader) skip(depth int) {
	if depth > maxDepth {
		r.fail()
		return
	}

	switch c := r.peek(); {
	case c == '"':
		r.str()

	case c == '{':
		r.i++

		for first := true; r.more(&first, '}'); {
			r.peek()
			r.str()

			if r.bad || !r.take(':') {
				r.fail()
				return
			}

			r.skip(depth + 1)
		}

	case c == '[':
		r.i++

		for first := true; r.more(&first, ']'); {
			r.skip(depth + 1)
		}

	case c == 't':
		r.word("true")

	case c == 'f':
		r.word("false")

	case c == 'n':
		r.word("null")

	default:
		r.number()
	}
}

func (r *reader) word(word string) {
	if len(r.b)-r.i < len(word) || string(r.b[r.i:r.i+len(word)]) != word {
		r.fail()
		return
	}

	r.i += len(word)
}

func (r *reader) digits() bool {
	at := r.i

	for r.i < len(r.b) && r.b[r.i]-'0' <= 9 {
		r.i++
	}

	return r.i > at
}

func (r *reader) at(c byte) bool { return r.i < len(r.b) && r.b[r.i] == c }

func (r *reader) number() {
	if r.at('-') {
		r.i++
	}

	if r.at('0') {
		r.i++
	} else if !r.digits() {
		r.fail()
		return
	}

	if r.at('.') {
		r.i++

		if !r.digits() {
			r.fail()
			return
		}
	}

	if r.at('e') || r.at('E') {
		r.i++

		if r.at('+') || r.at('-') {
			r.i++
		}

		if !r.digits() {
			r.fail()
		}
	}
}

// A string with its quotes, eight bytes at a time where they are plain.
func (r *reader) str() []byte {
	b, at := r.b, r.i

	if at >= len(b) || b[at] != '"' {
		r.fail()
		return nil
	}

	i := at + 1

	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			q, e := w^quotes, w^escapes
			found := ((q-ones)&^q | (e-ones)&^e | (w-spaces)&^w | w) & highs

			if found != 0 {
				i += bits.TrailingZeros64(found) >> 3
				break
			}

			i += 8
		}

		if i >= len(b) {
			break
		}

		switch c := b[i]; {
		case c == '"':
			r.i = i + 1
			return b[at:r.i]

		case c == '\\':
			n := escape(b[i:])
			if n == 0 {
				r.i = i
				r.fail()
				return nil
			}

			i += n

		case c < ' ':
			r.i = i
			r.fail()
			return nil

		case c < utf8.RuneSelf:
			i++

		default:
			rune, n := utf8.DecodeRune(b[i:])
			if rune == utf8.RuneError && n == 1 {
				r.i = i
				r.fail()
				return nil
			}

			i += n
		}
	}

	r.i = len(b)
	r.fail()

	return nil
}

// The length of an escape, 0 if it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}

	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2

	case 'u':
		if len(b) < 6 {
			return 0
		}

		for _, c := range b[2:6] {
			if c-'0' > 9 && (c|0x20)-'a' > 5 {
				return 0
			}
		}

		return 6
	}

	return 0
}

// What a string says, nil of any other value.
func text(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}

	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}

	var s string

	if json.Unmarshal(value, &s) != nil {
		return nil
	}

	return []byte(s)
}

// Whether a value is there and not null.
func given(value []byte) bool { return len(value) > 0 && value[0] != 'n' }

// An id as it is stored, nil if it is none.
func identity(value []byte) []byte {
	if len(value) == 0 {
		return nil
	}

	id := value

	switch c := value[0]; {
	case c == '"':
		id = text(value)

	case c == '-' || c-'0' <= 9:
		if bytes.IndexAny(value, ".eE") >= 0 {
			return nil
		}

	default:
		return nil
	}

	if len(id) == 0 || len(id) > 256 {
		return nil
	}

	for _, c := range id {
		if c < ' ' || c == 0x7f {
			return nil
		}
	}

	return id
}
