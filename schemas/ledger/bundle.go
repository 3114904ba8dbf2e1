package ledger

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Files of a bundle.
const (
	RecordsFile     = "records"
	CheckpointsFile = "checkpoints"
	ReadmeFile      = "README.txt"
	SumsFile        = "SHA256SUMS"
)

const readme = `This folder holds the ledger of a Waypost network: who sent what kind of message to whom,
when, and on what basis. It holds no text of any message.

  records       the records, in order
  checkpoints   the signed states of the ledger, with the signatures of agencies
  SHA256SUMS    checked by: sha256sum -c SHA256SUMS

To check all of it, with the network's public key (root.pub), which you must have from a
source that you trust, and no network connection:

  waypost audit verify --bundle THIS-FOLDER --root root.pub

The format is written down in the documentation of the package schemas/ledger; any program
that knows C2SP checkpoints and RFC 6962 can check it.
`

// Bundle is an exported ledger in a folder. It is a [Source].
type Bundle struct{ dir string }

// ErrBundle: a file of the bundle is missing, added or altered.
var ErrBundle = errors.New("the bundle's files are not what SHA256SUMS says")

// WriteBundle exports everything of a source to a new folder. An interrupted export leaves a folder ending in ".partial",
// which the next one replaces, and never one that looks whole.
func WriteBundle(ctx context.Context, src Source, dir string, progress func(index int64)) error {
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("write bundle: %w", os.ErrExist)
	}
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	err := writeFile(partial, RecordsFile, func(w *bufio.Writer) error {
		for s, err := range src.Records(ctx) {
			if err != nil {
				return err
			}
			if err := writeFrame(w, "record", s.Index, s.Raw); err != nil {
				return err
			}
			if progress != nil {
				progress(s.Index)
			}
		}
		return ctx.Err()
	})
	if err == nil {
		err = writeFile(partial, CheckpointsFile, func(w *bufio.Writer) error {
			n := int64(0)
			for raw, err := range src.Checkpoints(ctx) {
				if err != nil {
					return err
				}
				if err := writeFrame(w, "checkpoint", n, raw); err != nil {
					return err
				}
				n++
			}
			return ctx.Err()
		})
	}
	if err == nil {
		err = writeFile(partial, ReadmeFile, func(w *bufio.Writer) error { _, err := w.WriteString(readme); return err })
	}
	if err == nil {
		err = writeFile(partial, SumsFile, func(w *bufio.Writer) error {
			sums, err := bundleSums(partial)
			if err != nil {
				return err
			}
			_, err = w.WriteString(sums)
			return err
		})
	}
	if err == nil {
		err = os.Rename(partial, dir)
	}
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

func writeFile(dir, name string, fill func(*bufio.Writer) error) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 256<<10)
	err = fill(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func writeFrame(w *bufio.Writer, word string, n int64, raw []byte) error {
	if _, err := fmt.Fprintf(w, "%s %d %d\n", word, n, len(raw)); err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}
	return w.WriteByte('\n')
}

// bundleSums is what SHA256SUMS must hold.
func bundleSums(dir string) (string, error) {
	var b strings.Builder
	for _, name := range []string{ReadmeFile, CheckpointsFile, RecordsFile} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		b.WriteString(hex.EncodeToString(h.Sum(nil)) + "  " + name + "\n")
	}
	return b.String(), nil
}

// OpenBundle checks the files of a bundle against SHA256SUMS and that there are no others. This finds damage, also in bytes
// that no signature covers; that the sums were not made anew by a forger is for Verify to find.
func OpenBundle(dir string) (*Bundle, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{ReadmeFile, SumsFile, CheckpointsFile, RecordsFile}) {
		return nil, fmt.Errorf("open bundle: %w", ErrBundle)
	}
	want, err := bundleSums(dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	have, err := os.ReadFile(filepath.Join(dir, SumsFile))
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	if string(have) != want {
		return nil, fmt.Errorf("open bundle: %w", ErrBundle)
	}
	return &Bundle{dir: dir}, nil
}

// Records implements Source.
func (b *Bundle) Records(ctx context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for f, err := range b.frames(ctx, RecordsFile, "record", MaxRecord) {
			if !yield(Stored{Index: f.n, Raw: f.raw}, err) {
				return
			}
		}
	}
}

// Checkpoints implements Source.
func (b *Bundle) Checkpoints(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for f, err := range b.frames(ctx, CheckpointsFile, "checkpoint", MaxCheckpoint) {
			if !yield(f.raw, err) {
				return
			}
		}
	}
}

type frame struct {
	n   int64
	raw []byte
}

func (b *Bundle) frames(ctx context.Context, name, word string, limit int) iter.Seq2[frame, error] {
	return func(yield func(frame, error) bool) {
		f, err := os.Open(filepath.Join(b.dir, name))
		if err != nil {
			yield(frame{}, err)
			return
		}
		defer f.Close()
		r := bufio.NewReaderSize(f, 256<<10)
		for n := int64(0); ctx.Err() == nil; n++ {
			raw, err := readFrame(r, word, n, limit)
			if err == io.EOF { //nolint:errorlint // only a clean end
				return
			}
			if !yield(frame{n, raw}, err) || err != nil {
				return
			}
		}
	}
}

// readFrame reads what writeFrame wrote; io.EOF only between two frames.
func readFrame(r *bufio.Reader, word string, n int64, limit int) ([]byte, error) {
	damaged := malformed("bundle_"+word, nil)
	head, err := r.ReadSlice('\n')
	if err == io.EOF && len(head) == 0 { //nolint:errorlint // only a clean end
		return nil, io.EOF
	}
	rest, ok := strings.CutPrefix(string(head), word+" "+strconv.FormatInt(n, 10)+" ")
	size, err2 := strconv.Atoi(strings.TrimSuffix(rest, "\n"))
	if err != nil || !ok || err2 != nil || size < 1 || size > limit || strconv.Itoa(size)+"\n" != rest {
		return nil, damaged
	}
	raw := make([]byte, size+1)
	if _, err := io.ReadFull(r, raw); err != nil || raw[size] != '\n' {
		return nil, damaged
	}
	return raw[:size:size], nil
}
