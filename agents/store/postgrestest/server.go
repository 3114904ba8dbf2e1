// Package postgrestest runs a real PostgreSQL server for tests: Debian's postgresql, in a temporary folder, on a Unix socket
// that nobody else reaches, with fsync on. Imported by tests only.
package postgrestest

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
)

const owner = "waypost"

// Server is one running server.
type Server struct {
	bin, dir string
	stdin    io.Closer
	cmd      *exec.Cmd
	log      bytes.Buffer
	count    atomic.Int64
}

// ErrMissing: this machine has no PostgreSQL.
var ErrMissing = errors.New("there is no PostgreSQL 14 or newer on this machine (Debian: postgresql)")

// Start runs a server until the test ends. Without PostgreSQL on this machine the test is skipped, or fails where
// WAYPOST_REQUIRE=all.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := New()
	if errors.Is(err, ErrMissing) && os.Getenv("WAYPOST_REQUIRE") != "all" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Remove)
	return s
}

// New runs a server until Remove is called, or this process ends.
func New() (*Server, error) {
	bin := find()
	if bin == "" {
		return nil, ErrMissing
	}
	// Not t.TempDir: its parent is closed to the user that the server must run as, and a socket's path must be short.
	dir, err := os.MkdirTemp("", "wpg")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir}
	if err := giveAway(dir); err != nil {
		s.Remove()
		return nil, err
	}
	initdb := s.command(filepath.Join(bin, "initdb"), "-D", s.data(), "-A", "trust", "-U", owner, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		s.Remove()
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := s.Run(); err != nil {
		s.Remove()
		return nil, err
	}
	return s, nil
}

// Remove stops the server and takes everything away.
func (s *Server) Remove() {
	s.Stop()
	os.RemoveAll(s.dir)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command runs as somebody else when we are root: PostgreSQL refuses root.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	asNobody(cmd)
	return cmd
}

// Run starts a server that was stopped, and waits until it answers. Settings are added to what the tests use.
func (s *Server) Run(settings ...string) error {
	args := []string{"-D", s.data(), "-k", s.dir}
	for _, o := range append([]string{"listen_addresses=", "fsync=on", "shared_buffers=16MB", "max_connections=60", "log_min_messages=fatal", "lc_messages=C"}, settings...) {
		args = append(args, "-c", o)
	}
	// The shell stops the server when this process is gone, however it died: its end of the pipe is then closed.
	s.cmd = s.command("/bin/sh", append([]string{"-c", `"$0" "$@" & pid=$!; cat >/dev/null; kill -INT $pid; wait $pid`, filepath.Join(s.bin, "postgres")}, args...)...)
	s.log.Reset()
	s.cmd.Stderr = &s.log
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.stdin = in
	db, err := sql.Open("pgx", s.url("public"))
	if err != nil {
		return err
	}
	defer db.Close()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = db.Ping(); err == nil {
			return nil
		}
		if time.Now().After(end) {
			s.Stop()
			return fmt.Errorf("PostgreSQL does not start: %w\n%s", err, &s.log)
		}
	}
}

// Stop ends the server: connections are broken, what was committed stays.
func (s *Server) Stop() {
	if s.stdin == nil {
		return
	}
	s.stdin.Close()
	s.cmd.Wait()
	s.stdin = nil
}

// Schema makes a new, empty schema and returns the URL that leads to it: much quicker than a database, and the same to a
// store.
func (s *Server) Schema(t testing.TB) (url, name string) {
	t.Helper()
	name = "test" + strconv.FormatInt(s.count.Add(1), 10)
	s.Exec(t, "CREATE SCHEMA "+name)
	return s.url(name), name
}

// Exec runs statements as the owner of everything, on a schema's tables if they name it.
func (s *Server) Exec(t testing.TB, statements string) {
	t.Helper()
	db, err := sql.Open("pgx", s.url("public"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// Socket is where the server listens.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

func (s *Server) url(schema string) string {
	return fmt.Sprintf("postgres:///postgres?host=%s&user=%s&sslmode=disable&search_path=%s", url.QueryEscape(s.dir), owner, schema)
}

// find returns the folder of the newest PostgreSQL's programs, "" when there is none.
func find() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	slices.SortFunc(all, func(a, b string) int { return version(b) - version(a) })
	if len(all) == 0 || version(all[0]) < 14 {
		return ""
	}
	return filepath.Dir(all[0])
}
