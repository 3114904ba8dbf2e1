package schemas

import (
	"os"
	"reflect"
	"testing"
	"time"
)

// BenchmarkValidate is the part of it that walks: rules across members, and categories.
func BenchmarkValidate(b *testing.B) {
	data, err := os.ReadFile("testdata/referral/full.json")
	if err != nil {
		b.Fatal(err)
	}
	r, err := Decode[Referral](data)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := ValidateAt(r, time.Unix(1_800_000_000, 0)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tags", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !tagsHold(reflect.ValueOf(r).Elem()) {
				b.Fatal("asks the validator")
			}
		}
	})
	b.Run("tags by the validator", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(validateTags(r)) > 0 {
				b.Fatal("problems")
			}
		}
	})
	b.Run("categories", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(Categories(r)) == 0 {
				b.Fatal("none")
			}
		}
	})
}
