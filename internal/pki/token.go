package pki

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Why a token is refused; test with errors.Is.
var (
	ErrTokenFormat  = errors.New("pki: this is not a join token")
	ErrTokenWrong   = errors.New("pki: the join token is not known")
	ErrTokenUsed    = errors.New("pki: the join token was used already")
	ErrTokenExpired = errors.New("pki: the join token has expired")
)

const (
	tokenIDLen     = 10 // base32 characters
	tokenRandomLen = 16 // bytes
)

var tokenID = regexp.MustCompile(`^[a-z2-7]{10}$`)

// Token is what the joining side holds. Its text is "ID.SECRET" with SECRET the
// base64url of 16 random bytes and the CA's fingerprint: who has the token also
// knows which CA to expect, so that no first connection is trusted blindly.
type Token struct {
	ID          string
	Secret      []byte // 48 bytes: 16 random, then the fingerprint
	Fingerprint [32]byte
}

// String hides the secret, so that a token printed by mistake gives nothing away.
func (t Token) String() string { return t.ID + ".(secret)" }

// GoString hides the secret from %#v.
func (t Token) GoString() string { return t.String() }

// TokenRecord is what the cluster keeps of a token: enough to check it, not to use it.
type TokenRecord struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"` // what the token is for; the caller's word
	Hash    string    `json:"hash"` // SHA-256 of the secret, hexadecimal
	Expires time.Time `json:"expires"`
	UsedBy  string    `json:"used_by,omitempty"`
	UsedAt  time.Time `json:"used_at,omitzero"`
}

// NewToken makes a token bound to the CA with fingerprint fp. The text is the
// secret to hand over once; the record is for the store.
func NewToken(fp [32]byte, now time.Time, lifetime time.Duration, kind string) (text string, rec TokenRecord, err error) {
	if lifetime <= 0 {
		return "", TokenRecord{}, fmt.Errorf("pki: token lifetime %s: want more than zero", lifetime)
	}
	var random [tokenRandomLen + 7]byte
	rand.Read(random[:]) // never fails since Go 1.24
	id := strings.ToLower(base32.StdEncoding.EncodeToString(random[tokenRandomLen:]))[:tokenIDLen]
	secret := append(random[:tokenRandomLen:tokenRandomLen], fp[:]...)
	rec = TokenRecord{ID: id, Kind: kind, Hash: hashSecret(secret), Expires: now.Add(lifetime).UTC().Truncate(time.Second)}
	return id + "." + base64.RawURLEncoding.EncodeToString(secret), rec, nil
}

// ParseToken reads a token's text; white space around it (a file's last line
// feed) is fine. The error is ErrTokenFormat (wrapped) and never holds the text.
func ParseToken(text string) (Token, error) {
	id, encoded, ok := strings.Cut(strings.TrimSpace(text), ".")
	if !ok || !tokenID.MatchString(id) {
		return Token{}, fmt.Errorf("%w: want ID.SECRET as `pgherd token create` printed it", ErrTokenFormat)
	}
	if strings.ContainsAny(encoded, "\r\n") { // the decoder would skip them
		return Token{}, fmt.Errorf("%w: it is broken into lines", ErrTokenFormat)
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(secret) != tokenRandomLen+sha256.Size {
		return Token{}, fmt.Errorf("%w: the secret is cut short or mistyped", ErrTokenFormat)
	}
	return Token{ID: id, Secret: secret, Fingerprint: [32]byte(secret[tokenRandomLen:])}, nil
}

// Check says whether the token may be used now. Who does not know the secret
// learns nothing but ErrTokenWrong.
func (r TokenRecord) Check(t Token, now time.Time) error {
	same := subtle.ConstantTimeCompare([]byte(r.Hash), []byte(hashSecret(t.Secret))) == 1
	switch {
	case r.ID == "" || r.ID != t.ID || !same:
		return ErrTokenWrong
	case r.UsedBy != "" || !r.UsedAt.IsZero():
		return fmt.Errorf("%w, by %s", ErrTokenUsed, r.UsedBy)
	case !now.Before(r.Expires):
		return fmt.Errorf("%w, at %s", ErrTokenExpired, r.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// Use gives the record after member name used it.
func (r TokenRecord) Use(name string, now time.Time) TokenRecord {
	r.UsedBy, r.UsedAt = name, now.UTC().Truncate(time.Second)
	return r
}

func hashSecret(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}
