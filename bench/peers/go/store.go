package main

// One connection to Redis, on which one call is under way at a time.  What
// comes meanwhile joins the next: MULTI, RPUSH of all runs, EVALSHA with what
// tells whether they may stay, EXEC.

import (
	"bufio"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const (
	timeout = 5 * time.Second
	pause   = 50 * time.Millisecond // between attempts to connect
	day     = 86400000              // ms: marks are kept for one to two of them
	base    = "knock:{development}:"
)

//go:embed apply.lua
var script string

var errAway = errors.New("not connected")

type store struct {
	path string

	lock    sync.Mutex
	pending []*batch // the last one takes events
	unused  []*batch
	wake    chan struct{}

	conn      net.Conn
	in        *bufio.Reader
	attempted time.Time
	expired   time.Time // when the marks were last told to go
	sha       string
	head      []byte
	middle    []byte
	out       net.Buffers
}

func newStore(path string) *store {
	sum := sha1.Sum([]byte(script))
	s := &store{path: path, wake: make(chan struct{}, 1), sha: hex.EncodeToString(sum[:])}

	go s.loop()

	return s
}

// Applies events: gives when Redis has answered.
func (s *store) apply(events []event, p *part) (outcome, error) {
	s.lock.Lock()

	var b *batch

	if n := len(s.pending); n > 0 && !s.pending[n-1].full() {
		b = s.pending[n-1]
	} else {
		if n := len(s.unused); n > 0 {
			b, s.unused = s.unused[n-1], s.unused[:n-1]
		} else {
			b = new(batch)
		}

		b.reset()
		s.pending = append(s.pending, b)
	}

	b.add(events, p)
	b.waiting++
	s.lock.Unlock()

	select {
	case s.wake <- struct{}{}:
	default:
	}

	<-b.done

	o, err := b.outcome(p), b.err

	s.lock.Lock()

	if b.waiting--; b.waiting == 0 && len(s.unused) < 16 {
		s.unused = append(s.unused, b)
	}

	s.lock.Unlock()

	return o, err
}

func (s *store) loop() {
	for range s.wake {
		for {
			// those who are ready to add something do so first
			runtime.Gosched()

			s.lock.Lock()

			if len(s.pending) == 0 {
				s.lock.Unlock()
				break
			}

			b := s.pending[0]
			s.pending = append(s.pending[:0], s.pending[1:]...)
			s.lock.Unlock()

			if b.events > 0 {
				b.err = s.call(b)
			}

			if b.err != nil {
				log.Printf("Redis at %s: %v", s.path, b.err)
			}

			close(b.done)
		}
	}
}

func (s *store) connect() error {
	if s.conn != nil {
		return nil
	}

	if time.Since(s.attempted) < pause {
		return errAway
	}

	s.attempted = time.Now()

	conn, err := net.DialTimeout("unix", s.path, timeout)
	if err != nil {
		return err
	}

	s.conn, s.in, s.expired = conn, bufio.NewReaderSize(conn, 64<<10), time.Time{}

	load := appendBulk([]byte("*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n"), []byte(script))

	if _, err = conn.Write(load); err == nil {
		_, err = s.reply(nil)
	}

	if err != nil {
		s.close()
	}

	return err
}

func (s *store) close() {
	s.conn.Close()
	s.conn = nil
}

// One call; whatever goes wrong ends the connection.
func (s *store) call(b *batch) error {
	if err := s.connect(); err != nil {
		return err
	}

	err := s.exchange(b)

	if err != nil {
		s.close()
	}

	return err
}

func (s *store) exchange(b *batch) error {
	clock := time.Now()

	if err := s.conn.SetDeadline(clock.Add(timeout)); err != nil {
		return err
	}

	head := append(s.head[:0], "*1\r\n$5\r\nMULTI\r\n"...)
	queued := 1

	if b.nruns > 0 {
		head = append(appendCount(head, '*', b.nruns+2), "$5\r\nRPUSH\r\n"...)
		head = appendBulk(head, []byte(base+"runs"))
		queued++
	}

	ms := clock.UnixMilli()
	marks := base + "marks:" + strconv.FormatInt(ms/day, 10)
	before := base + "marks:" + strconv.FormatInt(ms/day-1, 10)

	middle := appendCount(s.middle[:0], '*', 3+7+6+b.events+b.nruns+b.nstored+
		2*len(b.catalogue)+b.nfields)
	middle = appendBulk(append(middle, "$7\r\nEVALSHA\r\n"...), []byte(s.sha))
	middle = append(middle, "$1\r\n7\r\n"...)

	for _, key := range [...]string{base + "runs", marks, before, base + "users",
		base + "catalogue:segment", base + "catalogue_first:segment",
		base + "catalogue_last:segment"} {
		middle = appendBulk(middle, []byte(key))
	}

	for _, n := range [...]int{b.events, b.nruns, b.nstored, len(b.catalogue), int(ms)} {
		middle = appendNumber(middle, n)
	}

	middle = appendBulk(middle, b.records)

	for _, c := range b.catalogue {
		b.stored = appendNumber(appendBulk(b.stored, []byte(c.key)), c.n)
	}

	if clock.Sub(s.expired) > time.Minute {
		b.fields = append(b.fields, "*3\r\n$6\r\nEXPIRE\r\n"...)
		b.fields = append(appendBulk(b.fields, []byte(marks)), "$6\r\n172800\r\n"...)
		s.expired = clock
		queued++
	}

	b.fields = append(b.fields, "*1\r\n$4\r\nEXEC\r\n"...)
	s.head, s.middle = head, middle
	s.out = append(s.out[:0], head, b.runs, middle, b.marks, b.recipients, b.stored, b.fields)

	// WriteTo() takes its buffers apart
	out := s.out

	if _, err := out.WriteTo(s.conn); err != nil {
		return err
	}

	for i := 0; i <= queued; i++ {
		if _, err := s.reply(nil); err != nil {
			return err
		}
	}

	return s.verdict(b)
}

// What EXEC has said: of each command, of which only the script's counts.
func (s *store) verdict(b *batch) error {
	line, err := s.line()
	if err != nil {
		return err
	}

	if line[0] != '*' {
		return fmt.Errorf("EXEC was answered by %s", line)
	}

	n, err := strconv.Atoi(string(line[1:]))

	for at := 0; at < n && err == nil; at++ {
		if at == 0 && b.nruns > 0 {
			_, err = s.reply(nil)
		} else if at < 2 && (at == 1) == (b.nruns > 0) {
			b.dropped, err = s.reply(b.dropped)
		} else {
			_, err = s.reply(nil)
		}
	}

	return err
}

// One answer: numbers, if it is a list of them.
func (s *store) reply(numbers []int) ([]int, error) {
	line, err := s.line()
	if err != nil {
		return numbers, err
	}

	switch line[0] {
	case '+', ':':
		return numbers, nil

	case '$':
		n, err := strconv.Atoi(string(line[1:]))
		if err == nil {
			_, err = s.in.Discard(n + 2)
		}

		return numbers, err

	case '*':
		n, err := strconv.Atoi(string(line[1:]))

		for ; n > 0 && err == nil; n-- {
			if line, err = s.line(); err == nil {
				var number int

				if number, err = strconv.Atoi(string(line[1:])); err == nil {
					numbers = append(numbers, number)
				}
			}
		}

		return numbers, err
	}

	return numbers, errors.New(string(line))
}

func (s *store) line() ([]byte, error) {
	line, err := s.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}

	if len(line) < 3 {
		return nil, io.ErrUnexpectedEOF
	}

	return line[:len(line)-2], nil
}

func appendCount(to []byte, kind byte, n int) []byte {
	to = append(to, kind)
	to = strconv.AppendInt(to, int64(n), 10)

	return append(to, '\r', '\n')
}
