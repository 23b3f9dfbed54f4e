// Read a log with golang.org/x/mod/sumdb: verify its checkpoint, every entry, old checkpoints and proof files.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run main.go URL VKEY [SEQUENCE…]
//
// URL is the prefix of the log, …/v1/elections/E/log. The last line is JSON; a log that is not as it has to be ends the
// program with status 1.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

var prefix string

func get(path string) ([]byte, error) {
	answer, err := http.Get(prefix + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

// tiles is a tlog.TileReader. The paths of package tlog begin with the height of a tile, which tlog-tiles fixes at 8.
type tiles struct{}

func (tiles) Height() int { return height }

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		data, err := get(strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

// checkpoint verifies a signed note and returns the tree that it states.
func checkpoint(signed []byte, verifier note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// entries returns all entries of a log of this size, in order.
func entries(size int64) [][]byte {
	var found [][]byte
	for start := int64(0); start < size; start += 1 << height {
		width := 1 << height
		if size-start < 1<<height {
			width = int(size - start)
		}
		path := tlog.Tile{H: height, L: -1, N: start >> height, W: width}.Path()
		data := must(get(strings.Replace(path, "tile/8/data/", "tile/entries/", 1)))
		for number := 0; number < width; number++ {
			length := int(binary.BigEndian.Uint16(data))
			found = append(found, data[2:2+length])
			data = data[2+length:]
		}
		if len(data) != 0 {
			log.Fatalf("%s: bytes after the last entry", path)
		}
	}
	return found
}

// proofFile verifies the proof of a report, which contains the report itself.
func proofFile(data []byte, verifier note.Verifier) error {
	head, signed, _ := bytes.Cut(data, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	tree, err := checkpoint(signed, verifier)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

func main() {
	log.SetFlags(0)
	prefix = os.Args[1]
	verifier := must(note.NewVerifier(os.Args[2]))
	tree := must(checkpoint(must(get("checkpoint")), verifier))
	hashes := tlog.TileHashReader(tree, tiles{})

	// The hashes of the tiles are verified against the root as they are read, those of the entries against the tiles.
	all := entries(tree.N)
	for start := 0; start < len(all); start += 1 << height {
		var indexes []int64
		for index := start; index < len(all) && index < start+1<<height; index++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, int64(index)))
		}
		for number, hash := range must(hashes.ReadHashes(indexes)) {
			if hash != tlog.RecordHash(all[start+number]) {
				log.Fatalf("entry %d has another hash than its tile", start+number)
			}
		}
	}

	consistent := 0
	for _, line := range bytes.Split(bytes.TrimSpace(must(get("checkpoints?after=0&limit=1000"))), []byte("\n")) {
		var listed struct{ Note string }
		if err := json.Unmarshal(line, &listed); err != nil {
			log.Fatal(err)
		}
		old := must(checkpoint([]byte(listed.Note), verifier))
		proof := must(tlog.ProveTree(tree.N, old.N, hashes))
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
			log.Fatal(err)
		}
		consistent++
	}

	for _, sequence := range os.Args[3:] {
		if err := proofFile(must(get("proof/"+sequence)), verifier); err != nil {
			log.Fatal(err)
		}
	}
	read := map[string]any{
		"size": tree.N, "root": tree.Hash.String(), "entries": len(all), "checkpoints": consistent, "proofs": len(os.Args) - 3,
	}
	fmt.Println(string(must(json.Marshal(read))))
}
