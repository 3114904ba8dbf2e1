package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/agents/store/postgrestest"
	"waypost/agents/store/storetest"
	"waypost/schemas"
)

func openedAt(t *testing.T, p storetest.Place) *store.Store {
	t.Helper()
	s, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func add(s *store.Store) error {
	return s.Update(context.Background(), func(tx *store.Tx) error { return tx.AddIncoming(storetest.Incoming(schemas.LaneUrgent)) })
}

// TestLead: one works at a time; who stands by reads and does not write; who lost the lead writes nothing any more, whatever
// it believes; a tool without a lead is not bound.
func TestLead(t *testing.T) {
	server := postgrestest.Start(t)
	ctx := context.Background()
	p := postgres(t, server)
	one, two, tool := openedAt(t, p), openedAt(t, p), openedAt(t, p)
	one.StandBy()
	two.StandBy()
	if err := add(one); !errors.Is(err, store.ErrStandby) {
		t.Fatalf("an update without the lead: %v", err)
	}
	lead, err := one.TakeLead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := two.TakeLead(short); !errors.Is(err, store.ErrInUse) {
		t.Fatalf("a second lead: %v", err)
	}
	if err := errors.Join(add(one), add(tool)); err != nil {
		t.Fatal(err)
	}
	if err := add(two); !errors.Is(err, store.ErrStandby) {
		t.Fatalf("the other one wrote: %v", err)
	}
	if rows, err := two.ListIncoming(ctx, storetest.Us, false, store.Page{Limit: 10}); err != nil || len(rows) != 2 {
		t.Errorf("the other one reads %d rows: %v", len(rows), err)
	}
	// The server takes the lead away behind its back, as from a process that is stopped, and the other one is quicker to know.
	server.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'`)
	next, err := two.TakeLead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if next.Number != lead.Number+1 {
		t.Errorf("lead %d after %d", next.Number, lead.Number)
	}
	if err := add(one); !errors.Is(err, store.ErrStandby) {
		t.Errorf("the one before wrote: %v", err)
	}
	if err := add(two); err != nil {
		t.Error(err)
	}
	select {
	case <-lead.Lost():
	case <-time.After(time.Minute):
		t.Error("the one before never learns that it lost the lead")
	}
	lead.Release()
	// And back: who led before leads again under a new number, and the lead that it lost is not this one.
	next.Release()
	again, err := one.TakeLead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	if again.Number != next.Number+1 {
		t.Errorf("lead %d after %d", again.Number, next.Number)
	}
	if err := add(two); !errors.Is(err, store.ErrStandby) {
		t.Errorf("who led in between wrote: %v", err)
	}
	if err := add(one); err != nil {
		t.Errorf("in its second term: %v", err)
	}
	select {
	case <-again.Lost():
		t.Error("the second term is lost with the first")
	default:
	}
	// Another store in the same database has a lead of its own.
	other := openedAt(t, postgres(t, server))
	also, err := other.TakeLead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	also.Release()
	file := openedAt(t, sqlite(t))
	if _, err := file.TakeLead(ctx); !errors.Is(err, store.ErrNotShared) || file.Shared() || !two.Shared() {
		t.Errorf("a file's lead: %v", err)
	}
}

// cutter is a wire between a client and the server that breaks when the server answers a COMMIT, or before it gets one.
type cutter struct {
	url         string
	before, yes atomic.Bool
	cuts        atomic.Int64
}

func cut(t *testing.T, server *postgrestest.Server, url string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	c := &cutter{}
	c.url = tcp(ln, url)
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("unix", server.Socket())
			if err != nil {
				client.Close()
				continue
			}
			go c.pipe(client, up)
		}
	}()
	return c
}

func (c *cutter) pipe(client, up net.Conn) {
	defer client.Close()
	defer up.Close()
	var committing atomic.Bool
	go func() {
		defer up.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			if c.yes.Load() && strings.Contains(strings.ToLower(string(buf[:n])), "commit\x00") {
				c.yes.Store(false)
				c.cuts.Add(1)
				if c.before.Load() {
					client.Close()
					return
				}
				committing.Store(true)
			}
			if _, err := up.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := up.Read(buf)
		if err != nil || committing.Load() {
			return // the answer to the COMMIT is lost
		}
		if _, err := client.Write(buf[:n]); err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}
}

// TestCommitAnswerLost: the connection breaks before the server has the commit, or after it and before it says so. The
// server is asked what became of it: what was stored is reported so, what was not is done again or reported as failed, and
// never both.
func TestCommitAnswerLost(t *testing.T) {
	server := postgrestest.Start(t)
	url, _ := server.Schema(t)
	wire := cut(t, server, url)
	s, err := store.OpenPostgres(context.Background(), store.Postgres{URL: wire.url, Agency: storetest.Us})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := add(s); err != nil {
		t.Fatal(err)
	}
	stored := 1
	for _, before := range []bool{false, true, false, true} {
		wire.before.Store(before)
		wire.yes.Store(true)
		err := add(s)
		switch {
		case !before && err != nil:
			t.Errorf("stored, and reported as failed: %v", err)
		case before && !errors.Is(err, store.ErrUnavailable):
			t.Errorf("not stored, and reported as %v", err)
		}
		if err == nil {
			stored++
		}
	}
	if wire.cuts.Load() != 4 {
		t.Fatalf("the wire broke %d times: this test sees nothing", wire.cuts.Load())
	}
	rows, err := s.ListIncoming(context.Background(), storetest.Us, false, store.Page{Limit: 10})
	if err != nil || len(rows) != stored {
		t.Errorf("%d rows, %d reported as stored (%v)", len(rows), stored, err)
	}
}

// TestPostgresRefused: a server that may forget, a connection that others can read, another agency's store.
func TestPostgresRefused(t *testing.T) {
	server := postgrestest.Start(t)
	url, _ := server.Schema(t)
	ctx := context.Background()
	open := func(url, agency string) error {
		s, err := store.OpenPostgres(ctx, store.Postgres{URL: url, Agency: agency})
		if err == nil {
			s.Close()
		}
		return err
	}
	if err := open(url, storetest.Us); err != nil {
		t.Fatal(err)
	}
	if err := open(url, storetest.Them); !errors.Is(err, store.ErrForeign) {
		t.Errorf("another agency's store: %v", err)
	}
	const secret = "canary-7231"
	for _, c := range []struct {
		url  string
		want error
	}{
		{"postgres://u:" + secret + "@db.invalid/x", store.ErrInsecure}, // pgx would prefer TLS and do without
		{"postgres://u:" + secret + "@db.invalid/x?sslmode=disable", store.ErrInsecure},
		{"postgres://u:" + secret + "@db.invalid/x?sslmode=require", store.ErrInsecure},
		{"postgres://u:" + secret + "@192.0.2.1/x?sslmode=verify-ca", store.ErrInsecure},
		{"postgres://u:" + secret + "@127.0.0.1,db.invalid/x?sslmode=disable", store.ErrInsecure},
		{"postgres://u:" + secret + "@[::1", store.ErrURL},
		{"mysql://u:" + secret + "@x/y?sslmode=%zz", store.ErrURL},
		{"postgres://u:" + secret + "@127.0.0.1:1/x?sslmode=disable", store.ErrUnavailable},
	} {
		err := open(c.url, storetest.Us)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", strings.ReplaceAll(c.url, secret, "…"), err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
	for _, setting := range []string{"fsync=off", "full_page_writes=off"} {
		server.Stop()
		if err := server.Run(setting); err != nil {
			t.Fatal(err)
		}
		if err := open(url, storetest.Us); !errors.Is(err, store.ErrServer) {
			t.Errorf("a server with %s: %v", setting, err)
		}
	}
}

// muted is a wire to the server on which the nth question about the lead is never answered; hook is called when it is asked.
func muted(t *testing.T, server *postgrestest.Server, url string, nth int, hook func()) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	pipe := func(client, up net.Conn) {
		defer client.Close()
		defer up.Close()
		go func() { _, _ = io.Copy(client, up) }()
		buf := make([]byte, 64<<10)
		for asked := -1; ; {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			// It is prepared with its text, then only run: each of these comes in one piece, when the one before was answered.
			if asked >= 0 || strings.Contains(string(buf[:n]), "pg_try_advisory_lock") {
				asked++
			}
			if asked == nth {
				hook()
				continue
			}
			if _, err := up.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("unix", server.Socket())
			if err != nil {
				client.Close()
				continue
			}
			go pipe(client, up)
		}
	}()
	return tcp(ln, url)
}

// tcp is the URL of a server on a socket as it is over a wire.
func tcp(ln net.Listener, url string) string {
	_, query, _ := strings.Cut(url, "?")
	var kept []string
	for _, pair := range strings.Split(query, "&") {
		if !strings.HasPrefix(pair, "host=") {
			kept = append(kept, pair)
		}
	}
	return fmt.Sprintf("postgres://%s/postgres?%s", ln.Addr(), strings.Join(kept, "&"))
}

// TestLeadCutShort: time runs out while the server is being asked. If it has just said that another has the lead, then that is so;
// if it has said nothing yet, nothing is known.
func TestLeadCutShort(t *testing.T) {
	server := postgrestest.Start(t)
	url, _ := server.Schema(t)
	p := store.Postgres{URL: url, Agency: storetest.Us}
	one, err := store.OpenPostgres(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	lead, err := one.TakeLead(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer lead.Release()
	for nth, want := range map[int]error{1: store.ErrUnavailable, 2: store.ErrInUse, 3: store.ErrInUse} {
		ctx, cancel := context.WithCancel(context.Background())
		p.URL = muted(t, server, url, nth, cancel)
		two, err := store.OpenPostgres(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := two.TakeLead(ctx); !errors.Is(err, want) {
			t.Errorf("cut short at question %d: %v, want %v", nth, err, want)
		}
		if ctx.Err() == nil {
			t.Errorf("question %d was never asked", nth)
		}
		two.Close()
	}
}
