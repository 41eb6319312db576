package pki

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func newToken(t *testing.T, now time.Time) (string, TokenRecord) {
	t.Helper()
	text, rec, err := NewToken([32]byte{1, 2, 3}, now, time.Hour, "member")
	if err != nil {
		t.Fatal(err)
	}
	return text, rec
}

func TestTokenLife(t *testing.T) {
	now := time.Now()
	text, rec := newToken(t, now)
	token, err := ParseToken(" " + text + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if token.Fingerprint != [32]byte{1, 2, 3} || token.ID != rec.ID || rec.Kind != "member" {
		t.Errorf("token %#v, record %+v", token, rec)
	}
	otherText, other := newToken(t, now)
	otherToken, err := ParseToken(otherText)
	if err != nil {
		t.Fatal(err)
	}
	forged := Token{ID: rec.ID, Secret: otherToken.Secret}
	for name, c := range map[string]struct {
		rec   TokenRecord
		token Token
		at    time.Time
		want  error
	}{
		"good":                    {rec, token, now, nil},
		"another's secret":        {rec, forged, now, ErrTokenWrong},
		"another's record":        {other, token, now, ErrTokenWrong},
		"no record":               {TokenRecord{}, Token{}, now, ErrTokenWrong},
		"expired":                 {rec, token, now.Add(time.Hour), ErrTokenExpired},
		"used":                    {rec.Use("n2", now), token, now, ErrTokenUsed},
		"used and expired":        {rec.Use("n2", now), token, now.Add(2 * time.Hour), ErrTokenUsed},
		"wrong tells nothing":     {rec.Use("n2", now), forged, now, ErrTokenWrong},
		"just before its last":    {rec, token, rec.Expires.Add(-1), nil},
		"exactly at its last":     {rec, token, rec.Expires, ErrTokenExpired},
		"secret without its text": {rec, Token{ID: rec.ID}, now, ErrTokenWrong},
	} {
		if err := c.rec.Check(c.token, c.at); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestTokenKeepsItsSecret(t *testing.T) {
	text, rec := newToken(t, time.Now())
	_, secret, _ := strings.Cut(text, ".")
	token, err := ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	_, wrong := ParseToken(text + "x")
	if wrong == nil {
		t.Fatal("a token with more text was read")
	}
	for _, shown := range []string{string(data), fmt.Sprint(token), fmt.Sprintf("%v %+v %#v %s", token, token, token, token), wrong.Error()} {
		if strings.Contains(shown, secret[:8]) || strings.Contains(shown, fmt.Sprint(token.Secret[:4])) {
			t.Errorf("the secret shows in %s", shown)
		}
	}
	var back TokenRecord
	if err := json.Unmarshal(data, &back); err != nil || back.Check(token, time.Now()) != nil {
		t.Errorf("round trip: %+v, %v", back, err)
	}
	if _, _, err := NewToken([32]byte{}, time.Now(), 0, "member"); err == nil {
		t.Error("a token without lifetime")
	}
}

func FuzzParseToken(f *testing.F) {
	text, _, err := NewToken([32]byte{9}, time.Now(), time.Hour, "member")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{text, text + "\n", "", ".", "abcdefghij.", "abcdefghij.AAAA", strings.ToUpper(text), text[:40] + "\n" + text[40:], text + "="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			if !errors.Is(err, ErrTokenFormat) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		// One token has one text: two texts for one secret would be a way around a record of used ones.
		if len(strings.TrimSpace(text)) != 10+1+64 || len(token.Secret) != 48 || string(token.Secret[16:]) != string(token.Fingerprint[:]) {
			t.Errorf("%q gave %#v", text, token)
		}
	})
}
