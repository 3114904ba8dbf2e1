//go:build linux

package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"waypost/agents/store"
	"waypost/agents/store/storetest"
	"waypost/schemas"
)

// tight lets this process write no file beyond so many bytes, as on a full disk (EFBIG in place of ENOSPC), until the function
// that it returns is called.
func tight(t *testing.T, size int64) (lift func()) {
	t.Helper()
	limit := func(size uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}); err != nil {
			t.Fatal(err)
		}
	}
	limit(uint64(size))
	lift = func() { limit(unix.RLIM_INFINITY) }
	t.Cleanup(lift)
	return lift
}

// large is a closed store whose file has some megabytes: its log can grow for a while where the file itself cannot.
func large(t *testing.T) (path string, size int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "agent.db")
	s := openAt(t, path)
	for range 60 {
		storetest.Update(t, s, kept(200_000))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, length(t, path)
}

// whole: SQLite finds nothing wrong, and every one of ids is there once.
func whole(t *testing.T, path string, ids []string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var said string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&said); err != nil || said != "ok" {
		t.Fatalf("integrity: %s %v", said, err)
	}
	for _, id := range ids {
		var n int
		if err := db.QueryRow(`SELECT count(*) FROM inbox JOIN inbox_bodies ON message = n WHERE id = ?`, id).Scan(&n); err != nil || n != 1 {
			t.Fatalf("%s is there %d times (%v)", id, n, err)
		}
	}
}

// accepts stores one message more and returns its id.
func accepts(s *store.Store) (string, error) {
	in := storetest.Incoming(schemas.LaneRoutine)
	in.Body = make([]byte, 6<<10)
	return in.Manifest.ID, s.Update(context.Background(), func(tx *store.Tx) error { return tx.AddIncoming(in) })
}

// TestMoveFails: where the log can be written and the file cannot, everything goes on in the log, and whoever asks the store how
// it is hears of it. When there is room again nothing is missing, and the log begins anew.
func TestMoveFails(t *testing.T) {
	ctx := context.Background()
	path, size := large(t)
	s := openAt(t, path)
	lift := tight(t, size)
	var ids []string
	accept := func() error {
		id, err := accepts(s)
		if err == nil {
			ids = append(ids, id)
		}
		return err
	}
	if err := accept(); err != nil {
		t.Fatal(err)
	}
	if err := store.Move(ctx, s); !errors.Is(err, store.ErrFull) {
		t.Fatalf("the log is moved where there is no room: %v", err)
	}
	if err := accept(); err != nil {
		t.Fatalf("nothing is accepted although the log can grow: %v", err)
	}
	if err := s.Probe(ctx, storetest.Now); !errors.Is(err, store.ErrFull) {
		t.Errorf("a store whose log cannot be moved says %v", err)
	}
	for err := error(nil); !errors.Is(err, store.ErrFull); err = accept() { // until the log is at the limit too
		if err != nil {
			t.Fatal(err)
		}
	}
	if length(t, path) > size {
		t.Fatal("the file grew beyond the limit")
	}
	lift()
	if err := s.Probe(ctx, storetest.Now); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if length(t, path) <= size {
		t.Error("with room again and a probe, nothing was moved")
	}
	if err := errors.Join(accept(), s.Close()); err != nil {
		t.Fatal(err)
	}
	whole(t, path, ids)
}

// TestKilledWhileMoving: a process that ends in the middle of a move, some pages in the file and some not, has lost nothing.
func TestKilledWhileMoving(t *testing.T) {
	if path := os.Getenv("WAYPOST_TEST_MOVE"); path != "" {
		dieMoving(t, path)
		return
	}
	for _, more := range []int64{0, 1, 7, 60} { // pages that the file may grow by before the process is killed
		t.Run(fmt.Sprint(more), func(t *testing.T) {
			path, size := large(t)
			cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileMoving$")
			cmd.Env = append(os.Environ(), "WAYPOST_TEST_MOVE="+path, "WAYPOST_TEST_LIMIT="+strconv.FormatInt(size+more*4096, 10))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for lines := bufio.NewScanner(out); lines.Scan(); {
				ids = append(ids, lines.Text())
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("the process was not killed")
			}
			if grown := length(t, path) - size; grown != more*4096 || length(t, path+"-wal") >= size {
				t.Fatalf("it did not die while moving: the file grew by %d bytes, the log has %d", grown, length(t, path+"-wal"))
			}
			s := openAt(t, path)
			id, err := accepts(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			whole(t, path, append(ids, id))
		})
	}
}

// dieMoving says which messages were accepted, and is killed as soon as the first move comes to a page that the kernel does not
// let it write.
func dieMoving(t *testing.T, path string) {
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.ParseUint(os.Getenv("WAYPOST_TEST_LIMIT"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan os.Signal, 1)
	signal.Notify(refused, unix.SIGXFSZ)
	go func() {
		<-refused
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}()
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}); err != nil {
		t.Fatal(err)
	}
	for range store.MoveEvery {
		id, err := accepts(s)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(id)
	}
	<-t.Context().Done() // the move is under way
}
