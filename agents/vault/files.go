package vault

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"filippo.io/age"
	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"
)

// The files of a key folder. With a passphrase identity.age is an age file under it, and the others are age files sealed to
// the identity, so that one passphrase is stretched once; without one they are plain.
const (
	natsFile     = "nats.nk"
	signingFile  = "signing.key"
	identityFile = "identity.age"
	localFile    = "at-rest.key"
)

var fileNames = []string{natsFile, signingFile, identityFile, localFile}

// Work factors of the passphrase (scrypt, log2 N): what we write, and the most that a foreign file may demand.
const (
	workFactor    = 18
	maxWorkFactor = 20
)

type keyFiles map[string][]byte

func (f keyFiles) identityLine() string {
	for line := range strings.Lines(string(f[identityFile])) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return ""
}

// Create makes all keys of an agency in dir. It is all or nothing: the files are written to a folder beside dir, synced, and
// moved into place. It never overwrites keys.
func Create(dir, agency string, passphrase []byte) (*Vault, error) {
	if _, err := os.Stat(dir); err == nil {
		return nil, fmt.Errorf("create keys: %w", ErrExists)
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("make age identity: %w", err)
	}
	skey, _, err := note.GenerateKey(rand.Reader, agency)
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make NATS key: %w", err)
	}
	seed, err := user.Seed()
	if err != nil {
		return nil, fmt.Errorf("make NATS key: %w", err)
	}
	local, err := newLocalKey()
	if err != nil {
		return nil, err
	}
	plain := keyFiles{
		natsFile:     append(seed, '\n'),
		signingFile:  []byte(skey + "\n"),
		identityFile: fmt.Appendf(nil, "# %s\n# public key: %s\n%s\n", agency, identity.Recipient(), identity),
		localFile:    []byte(local),
	}
	v, err := assemble(plain)
	if err != nil {
		return nil, err
	}
	files := plain
	if len(passphrase) > 0 {
		if files, err = protect(plain, identity, passphrase); err != nil {
			return nil, err
		}
	}
	if err := install(dir, files); err != nil {
		return nil, err // the keys are nowhere on disk, or not yet there for sure: they must not be used
	}
	return v, nil
}

func protect(plain keyFiles, identity *age.HybridIdentity, passphrase []byte) (keyFiles, error) {
	pass, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, fmt.Errorf("protect keys: %w", err)
	}
	pass.SetWorkFactor(workFactor)
	out := keyFiles{}
	for name, text := range plain {
		var to age.Recipient = identity.Recipient()
		if name == identityFile {
			to = pass
		}
		var b bytes.Buffer
		w, err := age.Encrypt(&b, to)
		if err != nil {
			return nil, fmt.Errorf("protect keys: %w", err)
		}
		if _, err := w.Write(text); err != nil {
			return nil, fmt.Errorf("protect keys: %w", err)
		}
		if err := w.Close(); err != nil {
			return nil, fmt.Errorf("protect keys: %w", err)
		}
		out[name] = b.Bytes()
	}
	return out, nil
}

func install(dir string, files keyFiles) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("create keys: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".keys-") // 0700
	if err != nil {
		return fmt.Errorf("create keys: %w", err)
	}
	defer os.RemoveAll(tmp)
	for name, text := range files {
		f, err := os.OpenFile(filepath.Join(tmp, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("create keys: %w", err)
		}
		_, err = f.Write(text)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("create keys: %w", err)
		}
	}
	// The files' names, before the folder's: after a power cut there are all of them or none.
	if err := syncDir(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("create keys: %w", err)
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there; NTFS journals the rename
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync key folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync key folder: %w", err)
	}
	return nil
}

// Open reads the keys in dir. Every error says what to mend; none shows a key.
func Open(dir string, passphrase []byte) (*Vault, error) {
	// Whoever may write into the folder could put other keys in place of ours, whatever the files' own permissions.
	if info, err := os.Stat(dir); err == nil && info.IsDir() && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("open keys: %w: chmod 700 %s", ErrPermissions, dir)
	}
	files := keyFiles{}
	var missing []string
	for _, name := range fileNames {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			missing = append(missing, name)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open keys: %w", err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("open keys: %w: chmod 600 %s", ErrPermissions, path)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open keys: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(f, 64<<10))
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("open keys: %w", err)
		}
		files[name] = text
	}
	switch len(missing) {
	case 0:
	case len(fileNames):
		return nil, fmt.Errorf("open keys: %w", ErrMissing)
	default:
		return nil, fmt.Errorf("open keys: %w: %s", ErrIncomplete, strings.Join(missing, ", "))
	}
	files, err := expose(files, passphrase)
	if err != nil {
		return nil, err
	}
	return assemble(files)
}

func expose(files keyFiles, passphrase []byte) (keyFiles, error) {
	under := bytes.HasPrefix(files[identityFile], []byte("age-encryption.org/"))
	if !under {
		if len(passphrase) > 0 {
			return nil, fmt.Errorf("open keys: %w: these keys are not under one", ErrPassphrase)
		}
		return files, nil
	}
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("open keys: %w: these keys are under one; set passphrase_file", ErrPassphrase)
	}
	pass, err := age.NewScryptIdentity(string(passphrase))
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", ErrPassphrase)
	}
	pass.SetMaxWorkFactor(maxWorkFactor)
	text, err := decryptFile(files[identityFile], pass)
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", ErrPassphrase)
	}
	out := keyFiles{identityFile: text}
	identity, err := age.ParseHybridIdentity(out.identityLine())
	if err != nil {
		return nil, fmt.Errorf("read %s: not an age identity", identityFile)
	}
	for name, text := range files {
		if name == identityFile {
			continue
		}
		if out[name], err = decryptFile(text, identity); err != nil {
			return nil, fmt.Errorf("read %s: not sealed to this folder's identity", name)
		}
	}
	return out, nil
}

func decryptFile(text []byte, id age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(text), id)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, 64<<10))
}
