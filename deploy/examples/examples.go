// Package examples holds the example files of this folder, so that the demo plays from the same files that a reader sees
// and that the tests parse.
package examples

import "embed"

// Files are all examples, by file name.
//
//go:embed *.json *.yaml *.csv
var Files embed.FS
