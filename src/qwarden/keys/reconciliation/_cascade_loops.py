"""Cascade's search for errors: one core, whoever answers.

`advance` takes the answers to the last questions and goes on until it needs more of them, so that all
searches that can go on at the same time share a round trip. `converse` is both ends in one compiled loop.

Every block of every pass is the root of a binary tree; a node is a range of a row, split where a search went
through. What it wants is the parity that Alice's key has there, what it has that of Bob's as it stands.
Nodes where the two differ are odd, and hold an error. Two schedules:

- *first come, first served* (`at[REACH]` 0), as in the study that the five classic variants come from: a
  corrected bit sends every block of another pass that holds it back to the queue, and each goes down from
  its root. Two that come to the same question ask it twice, and it counts twice.
- *leaves*: the deepest nodes whose parity is known part each row, and any odd one may be searched, whatever
  became of its root. Of them the smallest go first, as they cost the least, and all that are at most
  `at[REACH]` times their size share the round trip. Nothing is asked twice, nor what follows from the
  key's own parity, known after the first pass.

Source: Brassard, Salvail, EUROCRYPT '93, 410; Martinez-Mateo, Pacher, Peev, Ciurana, Martin, Quantum Inf.
Comput. 15, 453 (2015), whose sub-block reuse the leaves are; Rijsman, cascade-cpp, for the first schedule.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from qwarden.core.compiled import compiled, inlined
from qwarden.keys.reconciliation._cascade_rows import (
    BASE,
    ORDERS,
    Int32,
    Rows,
    Words,
    bit_at,
    copy_half,
    drawn_by,
    flip,
    gather,
    open_row,
    parity,
    place_of,
)
from qwarden.keys.records import Bits

Int64 = npt.NDArray[np.int64]

NODES, PASSES, OPENED, QUEUED, ASKED, CORRECTED, BEFORE, TOTAL, TOGO, SWEEP, LEAK, ROUNDS = range(12)
"""What stands where in `Tree.at`: nodes there are; passes whose trees are alive, and passes begun; entries
of the queue; questions asked; bits corrected, and those before the last half; parity of Alice's key, -1 if
unknown; halves still to go; whether the questions are the blocks of a new pass, in order; bits disclosed;
round trips."""
HALVES, STREAK, REACH = range(12, 15)
"""The variant's: halves, whether they must find nothing in so many on end, and the schedule."""

ROW, START, STOP, PARENT, CHILD, WANT, HAVE, WAITS = range(8)
"""Columns of `Tree.nodes`: a node's range; its parent and left child, -1 if none, the right child stands
after the left; its parities, -1 as long as Alice has not told; whether it is a leaf in the queue."""

PASS_ROW, PASS_ROOT, PASS_SIZE, PASS_BLOCKS = range(4)
"""Columns of `Tree.passes`: a living pass's row and first node, size and number of its blocks."""

DONE: Final = 0
CONTRADICTION: Final = -1
EXHAUSTED: Final = -2
"""What `advance` returns in place of a number of questions: all is done; no key has these parities; more
questions than `TIMES_MOST` times the key's bits."""

TIMES_MOST: Final = 4
"""Beyond it something is wrong with the estimate of the QBER or with the peer. One time would do, but for
parities that the study's schedule asks twice."""

NONE: Final = -1


class Tree(NamedTuple):
    """The nodes, the queue and the counters of a search.

    Parameters
    ----------
    nodes : int32 (nodes, 8).
    passes : int64 (passes, 4).
    queue, asked : nodes, int32.
    at : counters, int64 (15,).
    """

    nodes: Int32
    passes: Int64
    queue: Int32
    asked: Int32
    at: Int64


@compiled
def make_tree(n: int, passes: int, halves: int, streak: bool, reach: int) -> Tree:
    """Return a tree without nodes, with room for as many blocks and searches as the key has bits.

    A queue holds each node once, or, first come first served, what was answered and all that corrections
    send back, of which there are no more than bits in each other pass.
    """
    nodes = 3 * n + 2 * passes + 64
    at = np.zeros(15, np.int64)
    at[TOTAL], at[TOGO], at[HALVES], at[STREAK], at[REACH] = NONE, halves, halves, streak, reach
    queue = np.empty(nodes if reach else n * (passes + 1) + 64, np.int32)
    return Tree(
        np.empty((nodes, 8), np.int32), np.empty((passes, 4), np.int64), queue, np.empty(n + 64, np.int32), at
    )


@compiled
def advance(rows: Rows, tree: Tree, sizes: Int64, seed: np.uint64, answers: Bits) -> int:
    """Take the answers to the last questions and return the number of the next, which `tree.asked` holds.

    Parameters
    ----------
    sizes : of the blocks of the passes that come before the halves.
    answers : as many as were asked, in the same order.

    Returns
    -------
    int
        0 when all is done, or another of the codes above.
    """
    at = tree.at
    _absorb(tree, answers)
    while True:
        at[SWEEP] = at[ASKED] = 0
        fits = _search_leaves(rows, tree) if at[REACH] else _search_in_turn(rows, tree)
        # There must be room for the blocks of another pass, of two bits or more, whatever comes of it.
        if not fits or at[NODES] + rows.bits.size // 2 + 2 > tree.nodes.shape[0]:
            return EXHAUSTED
        if at[CORRECTED] > rows.bits.size:
            return CONTRADICTION
        if not at[ASKED]:
            if not _open_pass(rows, tree, sizes, seed):
                return DONE
            if not at[ASKED]:
                _absorb(tree, answers)
                continue
        # The one place where Bob counts what is disclosed.
        at[LEAK] += at[ASKED]
        at[ROUNDS] += 1
        return at[ASKED] if at[LEAK] <= TIMES_MOST * rows.bits.size else EXHAUSTED


@compiled
def _absorb(tree: Tree, answers: Bits) -> None:
    nodes, queue, asked, at = tree.nodes, tree.queue, tree.asked, tree.at
    for i in range(at[ASKED]):
        node = int(asked[i])
        parent = nodes[node, PARENT]
        nodes[node, WANT] = answers[i]
        if parent != NONE:
            nodes[node + 1, WANT] = nodes[parent, WANT] ^ nodes[node, WANT]
        if not at[REACH]:
            _enqueue(queue, at, node)
        elif parent != NONE:
            _enqueue_odd(nodes, queue, at, node)
            _enqueue_odd(nodes, queue, at, node + 1)
    if at[SWEEP] and at[REACH]:
        _complete(nodes, queue, at, tree.passes[at[PASSES] - 1, PASS_ROOT])


@compiled
def _complete(nodes: Int32, queue: Int32, at: Int64, root: int) -> None:
    # The parity of a pass's last block follows from the others and that of the whole key.
    told, last = 0, at[NODES] - 1
    for node in range(root, last):
        told ^= nodes[node, WANT]
    if at[TOTAL] == NONE:
        at[TOTAL] = told ^ nodes[last, WANT]
    nodes[last, WANT] = told ^ at[TOTAL]
    for node in range(root, last + 1):
        _enqueue_odd(nodes, queue, at, node)


@inlined
def _enqueue(queue: Int32, at: Int64, node: int) -> None:
    queue[at[QUEUED]] = node
    at[QUEUED] += 1


@inlined
def _enqueue_odd(nodes: Int32, queue: Int32, at: Int64, node: int) -> None:
    if nodes[node, WANT] != nodes[node, HAVE] and not nodes[node, WAITS]:
        nodes[node, WAITS] = 1
        _enqueue(queue, at, node)


@inlined
def _dequeue(nodes: Int32, queue: Int32, at: Int64, i: int) -> None:
    nodes[queue[i], WAITS] = 0
    at[QUEUED] -= 1
    queue[i] = queue[at[QUEUED]]


@compiled
def _open_pass(rows: Rows, tree: Tree, sizes: Int64, seed: np.uint64) -> bool:
    """Begin the next pass and ask for its blocks; return whether there was one to begin."""
    nodes, at, n = tree.nodes, tree.at, rows.bits.size
    halves = at[OPENED] - sizes.size
    row = at[OPENED]
    if halves >= 0:
        if halves > 0:
            found = at[CORRECTED] > at[BEFORE]
            at[TOGO] = at[HALVES] if at[STREAK] and found else at[TOGO] - 1
        if at[TOGO] == 0:
            return False
        at[BEFORE] = at[CORRECTED]
        row = ORDERS + halves
        if at[STREAK]:
            # BICONF never looks back, so that its passes take turns in one place.
            at[NODES] = at[PASSES] = 0
    at[OPENED] += 1
    open_row(rows, seed, row)
    size = min(sizes[row], n) if halves < 0 else drawn_by(rows.words, row)
    root = at[NODES]
    start = 0
    while start < n:
        stop = min(start + size, n) if halves < 0 or start == 0 else n
        node = _add(nodes, at, row, start, stop, NONE)
        nodes[node, HAVE] = parity(rows.words, row, start, stop)
        if stop < n or at[TOTAL] == NONE:
            tree.asked[at[ASKED]] = node
            at[ASKED] += 1
        start = stop
    fresh = tree.passes[at[PASSES]]
    fresh[PASS_ROW], fresh[PASS_ROOT] = row, root
    fresh[PASS_SIZE], fresh[PASS_BLOCKS] = size, at[NODES] - root
    at[PASSES] += 1
    at[SWEEP] = 1
    return True


@inlined
def _add(nodes: Int32, at: Int64, row: int, start: int, stop: int, parent: int) -> int:
    node = int(at[NODES])
    nodes[node, ROW], nodes[node, START], nodes[node, STOP], nodes[node, PARENT] = row, start, stop, parent
    nodes[node, CHILD] = nodes[node, WANT] = NONE
    nodes[node, WAITS] = 0
    at[NODES] += 1
    return node


@inlined
def _ask_left(words: Words, nodes: Int32, asked: Int32, at: Int64, node: int) -> bool:
    """Ask for a node's left child, made if it is not there; return whether there was room."""
    if at[ASKED] == asked.size or at[NODES] + 2 > nodes.shape[0]:
        return False
    left = int(nodes[node, CHILD])
    if left == NONE:
        row, start, stop = (
            int(nodes[node, ROW]),
            int(nodes[node, START]),
            int(nodes[node, STOP]),
        )
        middle = start + (stop - start) // 2
        left = _add(nodes, at, row, start, middle, node)
        _add(nodes, at, row, middle, stop, node)
        nodes[left, HAVE] = parity(words, row, start, middle)
        nodes[left + 1, HAVE] = nodes[node, HAVE] ^ nodes[left, HAVE]
        nodes[node, CHILD] = left
    asked[at[ASKED]] = left
    at[ASKED] += 1
    return True


@compiled
def _search_in_turn(rows: Rows, tree: Tree) -> bool:
    """Serve the queue, first come first served, until each search is done or waits for an answer.

    Returns whether there was room for the questions.
    """
    words, nodes, queue, asked, at = rows.words, tree.nodes, tree.queue, tree.asked, tree.at
    served, fits = 0, True
    while served < at[QUEUED] and fits and at[CORRECTED] <= rows.bits.size:
        node = int(queue[served])
        parent = int(nodes[node, PARENT])
        served += 1
        if nodes[node, HAVE] == nodes[node, WANT] and parent != NONE and nodes[parent, CHILD] == node:
            # It was asked as a left child, and the error that made its parent odd is not in it.
            node += 1
        while nodes[node, HAVE] != nodes[node, WANT]:
            if nodes[node, STOP] - nodes[node, START] == 1:
                _correct(rows, tree, node)
                break
            left = int(nodes[node, CHILD])
            if left == NONE or nodes[left, WANT] == NONE:
                fits = _ask_left(words, nodes, asked, at, node)
                break
            node = left if nodes[left, HAVE] != nodes[left, WANT] else left + 1
    at[QUEUED] = 0
    return fits


@compiled
def _search_leaves(rows: Rows, tree: Tree) -> bool:
    """Correct what is found, then ask for the left halves of the smallest odd leaves.

    Returns whether there was room for the questions.
    """
    words, nodes, queue, asked, at = rows.words, tree.nodes, tree.queue, tree.asked, tree.at
    i = 0
    while i < at[QUEUED] and at[CORRECTED] <= rows.bits.size:
        node = int(queue[i])
        if nodes[node, HAVE] != nodes[node, WANT] and nodes[node, STOP] - nodes[node, START] == 1:
            _correct(rows, tree, node)
        if nodes[node, HAVE] == nodes[node, WANT]:
            _dequeue(nodes, queue, at, i)
        else:
            i += 1
    # A correction may have made a leaf even that had been passed.
    smallest = rows.bits.size
    i = 0
    while i < at[QUEUED]:
        node = int(queue[i])
        if nodes[node, HAVE] == nodes[node, WANT]:
            _dequeue(nodes, queue, at, i)
        else:
            smallest = min(smallest, nodes[node, STOP] - nodes[node, START])
            i += 1
    i = 0
    while i < at[QUEUED]:
        node = int(queue[i])
        if nodes[node, STOP] - nodes[node, START] > at[REACH] * smallest:
            i += 1
            continue
        _dequeue(nodes, queue, at, i)
        if not _ask_left(words, nodes, asked, at, node):
            return False
    return True


@compiled
def _correct(rows: Rows, tree: Tree, node: int) -> None:
    """Flip the one bit of a node, and queue what became odd elsewhere by it."""
    words, places, nodes, passes, queue, at = (
        rows.words,
        rows.place,
        tree.nodes,
        tree.passes,
        tree.queue,
        tree.at,
    )
    row = int(nodes[node, ROW])
    bit = bit_at(words, rows.order, row, int(nodes[node, START]))
    flip(rows.bits, words, places, rows.opened, bit)
    at[CORRECTED] += 1
    for index in range(at[PASSES]):
        other = passes[index, PASS_ROW]
        place = place_of(words, places, other, bit)
        block = min(place // passes[index, PASS_SIZE], passes[index, PASS_BLOCKS] - 1)
        root = leaf = passes[index, PASS_ROOT] + block
        nodes[root, HAVE] ^= 1
        while nodes[leaf, CHILD] != NONE:
            leaf = int(nodes[leaf, CHILD])
            if place >= nodes[leaf, STOP]:
                leaf += 1
            nodes[leaf, HAVE] ^= 1
        if at[REACH]:
            _enqueue_odd(nodes, queue, at, leaf)
        elif other != row:
            _enqueue(queue, at, root)


@compiled
def answer(words: Words, row: Int32, start: Int32, stop: Int32, out: Bits) -> None:
    """Fill `out` with Alice's parities of ranges of her rows, all of them open."""
    for i in range(out.size):
        out[i] = parity(words, int(row[i]), int(start[i]), int(stop[i]))


@compiled
def converse(alice: Bits, rows: Rows, tree: Tree, sizes: Int64, seed: np.uint64) -> int:
    """Run both ends until Bob is done; return `DONE` or why not.

    Alice's answers are what they are over a channel; the rows' order, public, is laid out once for both.
    """
    words, nodes, asked, at = np.empty_like(rows.words), tree.nodes, tree.asked, tree.at
    opened = np.zeros_like(rows.opened)
    answers = np.empty(asked.size, np.uint8)
    count = advance(rows, tree, sizes, seed, answers)
    while count > 0:
        if at[SWEEP]:
            row = int(nodes[asked[0], ROW])
            order = min(row, BASE)
            if not opened[order]:
                gather(words[order], rows.order[order], alice)
                opened[order] = 1
            copy_half(words, rows.words, row)
        for i in range(count):
            node = nodes[asked[i]]
            answers[i] = parity(words, int(node[ROW]), int(node[START]), int(node[STOP]))
        count = advance(rows, tree, sizes, seed, answers)
    return count
