package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// pseudonyms makes the ids of an export's rows from threads, under a key that is in a file, or that nobody keeps.
func pseudonyms(path string) (func(thread string) string, error) {
	key := make([]byte, sha256.Size)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	if path != "" {
		kept, err := keptKey(path, key)
		if err != nil {
			return nil, err
		}
		key = kept
	}
	return func(thread string) string {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte("waypost export record\n" + thread))
		return strings.ToLower(base32.StdEncoding.EncodeToString(mac.Sum(nil)[:15]))
	}, nil
}

// keptKey reads the key in a file, or makes the file with the new one.
func keptKey(path string, fresh []byte) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, fmt.Errorf("write key of pseudonyms: %w", err)
		}
		_, err = fmt.Fprintln(f, hex.EncodeToString(fresh))
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return nil, fmt.Errorf("write key of pseudonyms: %w", err)
		}
		return fresh, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read key of pseudonyms: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != sha256.Size {
		return nil, usage(errors.New("--pseudonyms: the file holds no key of ours"), "name a file that is not there yet; the key is made in it")
	}
	return key, nil
}
