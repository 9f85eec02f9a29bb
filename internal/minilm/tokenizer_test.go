package minilm

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func newTokenizer(t testing.TB) *tokenizer {
	t.Helper()
	tok, err := readTokenizer(vocabulary)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestEncode shows what the tokenizer does; TestTokens holds it against the original.
func TestEncode(t *testing.T) {
	tok := newTokenizer(t)
	words := strings.Split(vocabulary, "\n")
	for _, c := range []struct{ text, want string }{
		{"", "[CLS] [SEP]"},
		{" \n\u200b", "[CLS] [SEP]"},
		{"The thirsty plant", "[CLS] the thirsty plant [SEP]"},
		{"photosynthesis!", "[CLS] photos ##yn ##thesis ! [SEP]"},
		{"Café, naïve; ÅNGSTRÖM", "[CLS] cafe , naive ; ang ##strom [SEP]"},
		{"日本語", "[CLS] 日 本 語 [SEP]"},
		{"don't", "[CLS] don ' t [SEP]"},
		{"🌱", "[CLS] [UNK] [SEP]"},
		{"a [MASK] b[SEP]c [mask]", "[CLS] a [MASK] b [SEP] c [ mask ] [SEP]"},
		{"no\x00thing\ufffd here\xff", "[CLS] nothing here [SEP]"},
		{strings.Repeat("a", 101) + " b", "[CLS] [UNK] b [SEP]"},
	} {
		var got []string
		for _, token := range tok.encode(c.text, maxTokens) {
			got = append(got, words[token])
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%.40q: got %s, want %s", c.text, s, c.want)
		}
	}
}

func TestEncodeCuts(t *testing.T) {
	tok := newTokenizer(t)
	whole := tok.encode("unbelievable photosynthesis here", maxTokens)
	for limit := 2; limit <= len(whole); limit++ {
		got := tok.encode("unbelievable photosynthesis here", limit)
		want := append(slices.Clone(whole[:limit-1]), tokenEnd)
		if !slices.Equal(got, want) {
			t.Errorf("cut to %d: got %d, want %d", limit, got, want)
		}
	}
}

// TestEncodeLong: a megabyte of what takes hours if a step is not linear, or does not stop.
func TestEncodeLong(t *testing.T) {
	tok := newTokenizer(t)
	const size = 1 << 20
	for _, part := range []string{"a", "a ", "[", "[MAS", "é", "\u0301", "\x00", " ", "語", "\xff"} {
		got := tok.encode(strings.Repeat(part, size/len(part)), maxTokens)
		if len(got) > maxTokens {
			t.Errorf("a megabyte of %q is %d tokens", part, len(got))
		}
	}
}

func FuzzEncode(f *testing.F) {
	tok := newTokenizer(f)
	for _, s := range []string{"", "The plants are thirsty.", "e\u0301 [SEP] 語 ##ing", strings.Repeat("x", 200), "\xff\x00\u00ad", "각 İ ﬁ"} {
		f.Add(s, 16)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = 2 + int(uint(limit)%300)
		tokens := tok.encode(text, limit)
		if len(tokens) < 2 || len(tokens) > limit || tokens[0] != tokenBegin || tokens[len(tokens)-1] != tokenEnd {
			t.Fatalf("%q: %d", text, tokens)
		}
		for _, token := range tokens {
			if token >= vocabularySize {
				t.Fatalf("%q: token %d", text, token)
			}
		}
		// What is cut is the front of what is not.
		if more := tok.encode(text, limit+50); !slices.Equal(more[:len(tokens)-1], tokens[:len(tokens)-1]) {
			t.Fatalf("%q: %d, but with more room %d", text, tokens, more)
		}
		if ascii := strings.ToUpper(text); utf8.ValidString(text) && isASCII(text) && !strings.Contains(ascii, "[") {
			if !slices.Equal(tok.encode(ascii, limit), tokens) {
				t.Fatalf("%q has other tokens in capitals", text)
			}
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
