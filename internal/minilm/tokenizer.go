package minilm

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// tokenizer makes word pieces of texts as BERT's uncased one does, in three steps at once, a letter after the other:
//
//   - normalise: control characters and marks (accents) go, letters become small, Chinese characters stand apart;
//   - split at white space and at punctuation, each of which is a word of its own;
//   - cut a word from the front into the longest pieces that the vocabulary has; "##" marks those that do not begin a
//     word. A word that cannot be cut, or has over 100 letters, is one [UNK].
//
// It follows the Rust library tokenizers, which the original and Chroma use, to the oddities: see reference/tokens.py.
type tokenizer struct {
	starts  map[string]uint16 // pieces that begin a word
	follows map[string]uint16 // pieces that go on, without their ##
	longest int               // bytes in the longest piece
}

// Numbers of the marks.
const (
	tokenUnknown = 100
	tokenBegin   = 101 // [CLS]
	tokenEnd     = 102 // [SEP]
)

// maxWordLetters is from where on a word is not looked for.
const maxWordLetters = 100

// marks are tokens that may be written in a text as they are.
var marks = [...]struct {
	text  string
	token uint16
}{{"[PAD]", 0}, {"[UNK]", tokenUnknown}, {"[CLS]", tokenBegin}, {"[SEP]", tokenEnd}, {"[MASK]", 103}}

// readTokenizer makes one of a vocabulary: a piece a line, numbered from 0.
func readTokenizer(file string) (*tokenizer, error) {
	t := &tokenizer{starts: make(map[string]uint16, 24500), follows: make(map[string]uint16, 6000)}
	number := 0
	for line := range strings.SplitSeq(strings.TrimSuffix(file, "\n"), "\n") {
		if rest, ok := strings.CutPrefix(line, "##"); ok && rest != "" {
			t.follows[rest] = uint16(number)
		} else {
			t.starts[line] = uint16(number)
		}
		t.longest = max(t.longest, len(line))
		number++
	}
	if number != vocabularySize {
		return nil, fmt.Errorf("vocab.txt has %d lines, not %d: build coma again from a clean checkout", number, vocabularySize)
	}
	return t, nil
}

// encode returns the tokens of text with the marks of beginning and end, together at most limit (2 or more). It stops
// reading when it has them.
func (t *tokenizer) encode(text string, limit int) []uint16 {
	p := pieces{tokenizer: t, limit: limit - 1}
	p.tokens = make([]uint16, 1, min(limit, 2+len(text)/3))
	p.tokens[0] = tokenBegin
	p.read(text)
	return append(p.tokens, tokenEnd)
}

// pieces is one text on its way.
type pieces struct {
	*tokenizer
	tokens  []uint16
	limit   int
	word    []byte // normalised, so far; nothing of what comes after maxWordLetters
	letters int    // in the word, all of them
	parts   [64]byte
}

func (p *pieces) full() bool { return len(p.tokens) >= p.limit }

func (p *pieces) read(text string) {
	for i := 0; i < len(text) && !p.full(); {
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:])
		}
		switch {
		case r == '[' && p.mark(text[i:], &i):
			continue
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			p.letter(r)
		case 'A' <= r && r <= 'Z':
			p.letter(r + 'a' - 'A')
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			p.end()
		case r < utf8.RuneSelf && r > ' ' && r != 0x7f: // the rest of ASCII
			p.alone(r)
		case isMark(r) || p.letters > maxWordLetters && unicode.IsLetter(r) && !isChinese(r): // soon done with, for texts of megabytes
		case r == utf8.RuneError || isControl(r):
		case unicode.IsSpace(r):
			p.end()
		case isChinese(r):
			p.end()
			p.decompose(text[i : i+size])
			p.end()
		default:
			p.decompose(text[i : i+size])
		}
		i += size
	}
	p.end()
}

// mark takes a mark at the start of text, and moves i behind it.
func (p *pieces) mark(text string, i *int) bool {
	for _, m := range marks {
		if strings.HasPrefix(text, m.text) {
			p.end()
			p.add(m.token)
			*i += len(m.text)
			return true
		}
	}
	return false
}

// decompose takes a character without its accents.
func (p *pieces) decompose(character string) {
	for _, r := range string(norm.NFD.AppendString(p.parts[:0], character)) {
		switch {
		case isMark(r):
		case isPunctuation(r):
			p.alone(r)
		case unicode.IsSpace(r):
			p.end()
		default:
			p.letter(unicode.ToLower(r))
		}
	}
}

func (p *pieces) letter(r rune) {
	if p.letters++; p.letters <= maxWordLetters {
		p.word = utf8.AppendRune(p.word, r)
	}
}

// alone takes a letter that is a word.
func (p *pieces) alone(r rune) {
	p.end()
	p.letter(r)
	p.end()
}

func (p *pieces) add(token uint16) {
	if !p.full() {
		p.tokens = append(p.tokens, token)
	}
}

// end cuts the word into pieces and begins the next one.
func (p *pieces) end() {
	if p.letters == 0 {
		return
	}
	word, letters := p.word, p.letters
	p.word, p.letters = p.word[:0], 0
	if letters > maxWordLetters {
		p.add(tokenUnknown)
		return
	}
	before := len(p.tokens)
	pieces := p.starts
	for len(word) > 0 {
		n := min(len(word), p.longest)
		token, found := pieces[string(word[:n])]
		for !found && n > 1 {
			n--
			token, found = pieces[string(word[:n])] // cut within a letter it is not found
		}
		if !found {
			p.tokens = p.tokens[:before]
			p.add(tokenUnknown)
			return
		}
		// Past the limit it must still be seen whether the whole word can be cut: it is [UNK] otherwise.
		p.tokens = append(p.tokens, token)
		word, pieces = word[n:], p.follows
	}
	p.tokens = p.tokens[:min(len(p.tokens), p.limit)]
}
