package vault_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"waypost/agents/vault"
)

const passphrase = "five random words are good"

// protectedFiles are made once: under the race detector a passphrase takes five seconds to stretch.
var protectedFiles = sync.OnceValues(func() (map[string][]byte, error) {
	parent, err := os.MkdirTemp("", "waypost-vault-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "keys")
	if _, err := vault.Create(dir, agency, []byte(passphrase)); err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// protected is a fresh copy of a folder of keys under passphrase.
func protected(t *testing.T) string {
	t.Helper()
	files, err := protectedFiles()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCreatedFilesAreOurs(t *testing.T) {
	_, dir := create(t, "")
	onlyOurs(t, dir)
}

func onlyOurs(t *testing.T, dir string) {
	t.Helper()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v (%v)", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("%d files (%v), want 4", len(entries), err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v (%v)", e.Name(), info.Mode(), err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".keys-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestFolderOfOthers: whoever can write into the folder can put their own keys in place of ours.
func TestFolderOfOthers(t *testing.T) {
	for _, mode := range []os.FileMode{0o777, 0o770, 0o755} {
		_, dir := create(t, "")
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		v, err := vault.Open(dir, nil)
		if !errors.Is(err, vault.ErrPermissions) || v != nil || !strings.Contains(err.Error(), "chmod 700") {
			t.Errorf("%o: %v, want ErrPermissions and what to do", mode, err)
		}
	}
}

// TestCreateFails: keys that are not on disk must not be used; they would be lost with the process.
func TestCreateFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := vault.Create(filepath.Join(file, "keys"), agency, nil); err == nil || v != nil {
		t.Errorf("under a file: %v beside %v", v, err)
	}
	parent := t.TempDir()
	for _, name := range []string{"", "a+b", "a b"} {
		if v, err := vault.Create(filepath.Join(parent, "keys"), name, nil); err == nil || v != nil {
			t.Errorf("agency %q: %v beside %v", name, v, err)
		}
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v (%v)", entries, err)
	}
}

// TestPassphraseWork: a foreign identity.age may not make us spend a terabyte of memory on its passphrase.
func TestPassphraseWork(t *testing.T) {
	b64 := func(n int) string { return base64.RawStdEncoding.EncodeToString(bytes.Repeat([]byte{7}, n)) }
	for _, work := range []string{"21", "30", "63", "99999999999999999999", "-1", "018"} {
		_, dir := create(t, "")
		text := fmt.Sprintf("age-encryption.org/v1\n-> scrypt %s %s\n%s\n--- %s\n%s", b64(16), work, b64(32), b64(32), strings.Repeat("x", 60))
		if err := os.WriteFile(filepath.Join(dir, "identity.age"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := vault.Open(dir, []byte("five random words are good")); !errors.Is(err, vault.ErrPassphrase) || v != nil {
			t.Errorf("work factor %s: %v", work, err)
		}
	}
}

// TestForeignFile: a file that was sealed to another identity does not open in a protected folder, and the error names it.
func TestForeignFile(t *testing.T) {
	dir := protected(t)
	other, otherDir := create(t, "")
	seed, err := os.ReadFile(filepath.Join(otherDir, "nats.nk"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, _, err := other.Seal(other.Public().Recipient, "id", seed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nats.nk"), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := vault.Open(dir, []byte(passphrase)); err == nil || v != nil || !strings.Contains(err.Error(), "nats.nk") {
		t.Errorf("got %v", err)
	}
}

// TestUnexportedHolder: fmt calls no methods on unexported fields; a pointer inside still shows an address and no more.
func TestUnexportedHolder(t *testing.T) {
	v, dir := create(t, "")
	type agent struct{ keys *vault.Vault }
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		for _, text := range []string{fmt.Sprintf(verb, agent{v}), fmt.Sprintf(verb, &agent{v}), fmt.Sprintf(verb, []agent{{v}}), fmt.Sprintf(verb, v.Signer())} {
			if len(text) > 200 {
				t.Errorf("%s prints %d characters", verb, len(text))
			}
			for _, s := range secrets(t, dir) {
				if strings.Contains(text, s) {
					t.Errorf("%s prints a private key", verb)
				}
			}
		}
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	v, _ := create(t, "")
	them, _ := create(t, "")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 10 {
				id, body := fmt.Sprintf("id-%d-%d", i, n), bytes.Repeat([]byte{byte(i)}, 1000+n)
				sealed, wrapped, err := v.Seal(them.Public().Recipient, id, body)
				if err != nil {
					t.Error(err)
					return
				}
				got, mine, err := them.Open(id, sealed)
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("open: %v", err)
					return
				}
				ours, err1 := v.Reopen(id, sealed, wrapped)
				theirs, err2 := them.Reopen(id, sealed, mine)
				if err1 != nil || err2 != nil || !bytes.Equal(ours, body) || !bytes.Equal(theirs, body) {
					t.Errorf("reopen: %v, %v", err1, err2)
				}
				_, err = v.SignNATS([]byte(id))
				_, err2 = v.Signer().Sign([]byte(id))
				if err != nil || err2 != nil {
					t.Errorf("sign: %v, %v", err, err2)
				}
				locked, err := v.Lock(id, body)
				if err != nil {
					t.Error(err)
				}
				if _, err := v.Unlock(id, locked); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestUsesHaveTheirOwnKeys: a wrapped file key is no locked value and the other way round, under the same id.
func TestUsesHaveTheirOwnKeys(t *testing.T) {
	v, _ := create(t, "")
	sealed, wrapped, err := v.Seal(v.Public().Recipient, "id", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Unlock("id", wrapped); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("a file key was unlocked: %v", err)
	}
	locked, err := v.Lock("id", make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Reopen("id", sealed, locked); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("a locked value was taken for a file key: %v", err)
	}
}

// FuzzReopen: what the store gives back is not trusted either; a thief may have written to the disk.
func FuzzReopen(f *testing.F) {
	v, _ := create(f, "")
	sealed, wrapped, err := v.Seal(v.Public().Recipient, "id", []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	seeds := [][2][]byte{{nil, nil}, {sealed, nil}, {nil, wrapped}, {sealed[:50], wrapped}, {sealed, wrapped[:30]}, {sealed, append(bytes.Clone(wrapped), 0)}, {append(bytes.Clone(sealed), 0), wrapped}}
	if len(seeds) < 7 {
		f.Fatal("the seed corpus is gone")
	}
	for _, s := range seeds {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, ciphertext, key []byte) {
		if bytes.Equal(ciphertext, sealed) && bytes.Equal(key, wrapped) {
			return
		}
		if plain, err := v.Reopen("id", ciphertext, key); !errors.Is(err, vault.ErrCorrupt) || plain != nil {
			t.Fatalf("opened what nobody sealed: %v", err)
		}
		if value, err := v.Unlock("id", key); !errors.Is(err, vault.ErrCorrupt) || value != nil {
			t.Fatalf("unlocked what nobody locked: %v", err)
		}
	})
}
