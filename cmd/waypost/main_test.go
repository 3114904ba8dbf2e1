package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"waypost/broker/brokertest"
	"waypost/deploy/examples"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"waypost": main})
}

// TestScript runs testdata/script. Each finds enrolment requests of two agencies in its folder, and a free loopback
// address in $ADDR,
// $API1 and $API2, the example referral, and a self-signed certificate for loopback (cert.pem, key.pem).
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			// Under -race every process sleeps a second before it ends; the scripts start a hundred. Races are still reported.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			for _, id := range []string{"harbour-ngo", "north-police"} {
				text, err := brokertest.NewAgency(t, id).Request.Encode()
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(e.WorkDir, id+".request.json"), text, 0o600); err != nil {
					return err
				}
			}
			for _, name := range []string{"ADDR", "API1", "API2"} {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				defer l.Close() // together, so that no two are the same
				e.Setenv(name, l.Addr().String())
			}
			if err := certificate(e.WorkDir); err != nil {
				return err
			}
			text, err := examples.Files.ReadFile("referral-urgent.json")
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "referral.json"), text, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"listening": listening, "mode": mode, "capture": capture, "eventually": eventually},
	})
}

// listening ADDR waits until something listens there.
func listening(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", args[0], time.Second)
		if err == nil {
			_ = c.Close()
		}
		if (err == nil) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: %v", args[0], err)
		}
		time.Sleep(10 * time.Millisecond) // nothing signals another process's port
	}
}

// capture VAR [PREFIX] puts the first word of the last standard output, or of its line that begins with PREFIX, into VAR.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if len(args) > 1 {
			rest, ok := strings.CutPrefix(line, args[1])
			if !ok {
				continue
			}
			line = rest
		}
		if words := strings.Fields(line); len(words) > 0 {
			ts.Setenv(args[0], words[0])
			return
		}
	}
	ts.Fatalf("nothing to capture")
}

// eventually PATTERN COMMAND… runs a command until its standard output matches.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	deadline := time.Now().Add(60 * time.Second)
	for {
		_ = ts.Exec(args[1], args[2:]...)
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("never matched %s", args[0])
		}
		time.Sleep(20 * time.Millisecond) // nothing signals another process's progress
	}
}

// mode PERM FILE asserts permissions.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := info.Mode().Perm().String(); got != args[0] {
		ts.Fatalf("%s is %s, want %s", args[1], got, args[0])
	}
}

// TestUsage: the same program in the test process: exit code, one line, one hint.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"", exitOK, ""},
		{"--help", exitOK, ""},
		{"network", exitOK, ""},
		{"nonsense", exitUsage, `waypost: unknown command "nonsense"`},
		{"network nonsense", exitUsage, "waypost: unknown command"},
		{"network agreement nonsense", exitUsage, "waypost: unknown command"},
		{"network list --nonsense", exitUsage, "waypost: unknown flag"},
		{"network suspend", exitUsage, "waypost: waypost network suspend takes 1 arguments"},
		{"network list --dir none", exitFailure, "waypost: open network"},
		{"network agreement add --from a --to b --purposes nonsense", exitUsage, "waypost: --purposes: unknown word"},
		{"network agreement end x --at tomorrow", exitUsage, `waypost: "tomorrow" is not a date`},
		{"network enrol x", exitUsage, "waypost: --role"},
		{"bench --help", exitOK, ""},
		{"bench nonsense", exitUsage, "waypost: waypost bench takes 0 arguments"},
		{"bench --agencies 1", exitUsage, "waypost: --agencies must be between 2 and"},
		{"bench --size 5", exitUsage, "waypost: --size must be between"},
		{"bench --rate fast", exitUsage, "waypost: invalid argument"},
		{"bench --urgent 0", exitUsage, "waypost: --urgent-backlog needs --urgent"},
		{"bench simulate --agencies ten", exitUsage, `waypost: --agencies: "ten" is no number`},
		{"bench simulate --agencies 20,10", exitUsage, "waypost: --agencies must be sizes"},
		{"bench simulate --measured 1", exitUsage, "waypost: --measured must be between"},
		{"broker run --config none.yaml", exitFailure, "waypost: read configuration"},
		{"broker run --log-level loud", exitUsage, "waypost: --log-level"},
		{"broker run --listen 0.0.0.0:4222", exitFailure, "waypost: configuration listen goes beyond this machine without TLS"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Chdir(t.TempDir())
			var out, errOut bytes.Buffer
			if code := run(t.Context(), strings.Fields(c.args), strings.NewReader(""), &out, &errOut, nil); code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, &errOut)
			}
			lines := strings.Split(strings.TrimSuffix(errOut.String(), "\n"), "\n")
			if !strings.HasPrefix(lines[0], c.err) {
				t.Errorf("error %q, want %q", lines[0], c.err)
			}
			if c.err != "" && (len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "hint: ")) {
				t.Errorf("more than one line and a hint:\n%s", &errOut)
			}
			if c.code == exitOK && !strings.Contains(out.String(), "Usage:") {
				t.Errorf("no help:\n%s", &out)
			}
		})
	}
}

// certificate makes a self-signed one for loopback.
func certificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
