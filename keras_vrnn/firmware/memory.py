"""Which buffers share memory, and where scratch memory lies.

Values that a turn leaves to the next one are written where the next one reads them if nothing reads the old values
afterwards; otherwise they are copied at the end of the turn. Scratch memory of each type is one array, in which
buffers that are never needed at the same time overlap.
"""

import numpy as np

from keras_vrnn.firmware.buffers import READ_BEYOND
from keras_vrnn.firmware.nodes import Compute, Loop, Update, all_reads, anything


def share(program):
    """Lets carried values, updated values and outputs use memory that is there already."""
    _share_body(program.body, program.carries, program.final_reads())
    for loop in (node for node in program.body if isinstance(node, Loop)):
        _share_body(loop.body, loop.carries, [])
    _share_starts(program)
    for nodes in (program.body, *(node.body for node in program.body if isinstance(node, Loop))):
        for index, node in enumerate(nodes):
            if isinstance(node, Update):
                _share_update(program, nodes, index, node)
    for edge in program.outputs:
        memory = edge.view.buffer.memory
        if memory.place == "" and edge.view.whole and memory.size == edge.view.size:
            memory.place, memory.name = "output", edge.argument


def _share_body(body, carries, read_later):
    for carry in carries:
        held, value = carry.held.buffer, carry.following.buffer
        if value is held or value.place or value.shared or not carry.following.whole:
            continue
        if held.shared or any(other.held.buffer is value for other in carries):
            continue
        writer = next((k for k, node in enumerate(body) if getattr(node, "result", None) is value), None)
        if writer is None:
            continue
        later = [view.buffer for node in body[writer + 1 :] for view in all_reads(node)]
        later += [view.buffer for view in read_later]
        later += [other.following.buffer for other in carries if other is not carry]
        if held not in later and _in_step(body[writer], held):
            value.shared = held


def _in_step(node, buffer):
    """Whether a node may write its result over a buffer."""
    if isinstance(node, Compute):
        return node.reads_in_step(buffer)
    if isinstance(node, Update):
        return node.part.buffer is not buffer and (node.target.buffer is not buffer or node.target.whole)
    return all(view.buffer is not buffer for view in node.reads())


def _share_starts(program):
    """Lets a loop carry its values in the memory in which they begin, if nothing else reads them."""
    for index, loop in enumerate(program.body):
        if not isinstance(loop, Loop):
            continue
        for carry in loop.carries:
            start = carry.initial.buffer
            others = [view.buffer for node in program.body[index + 1 :] for view in all_reads(node)]
            others += [view.buffer for node in loop.body for view in all_reads(node)]
            others += [view.buffer for view in program.final_reads()]
            others += [other.initial.buffer for other in loop.carries if other is not carry]
            if start.place == "" and start.shared is None and carry.initial.whole and start not in others:
                carry.held.buffer.shared = start


def _share_update(program, nodes, index, node):
    """Lets an update change its target in place if nothing else reads the target afterwards."""
    target, result = node.target.buffer, node.result
    if result.shared or target.place or not node.target.whole or nodes is not program.body:
        return
    later = [view.buffer for other in nodes[index + 1 :] for view in all_reads(other)]
    later += [view.buffer for view in program.final_reads()]
    if target not in later and node.part.buffer.memory is not target.memory:
        result.shared = target


def plan(program):
    """Sets the offsets of scratch memory and returns type -> how many values it holds."""
    spans: dict[int, list] = {}
    buffers = {}
    clock = 0

    def touch(buffer, first, last):
        memory = buffer.memory
        if memory.place == "":
            buffers[id(memory)] = memory
            span = spans.setdefault(id(memory), [first, last])
            span[:] = min(span[0], first), max(span[1], last)

    for node in program.body:
        inside = list(anything(node))
        first, last = clock, clock + len(inside) - 1
        local = {id(n.result.memory) for n in inside[1:] if not isinstance(n, Loop)} | {
            id(buffer) for n in inside for buffer in n.scratch()
        }
        carried = {id(c.held.buffer.memory) for c in getattr(node, "carries", [])}
        for step, n in enumerate(inside):
            touched = [view.buffer for view in n.reads()] + n.scratch()
            touched += [] if isinstance(n, Loop) else [n.result]
            for buffer in touched:
                inner = id(buffer.memory) in local - carried
                touch(buffer, clock + step if inner else first, clock + step if inner else last)
        for carry in getattr(node, "carries", []):
            touch(carry.held.buffer, first, last)
            # Copied at the end of the turn.
            touch(carry.following.buffer, clock, last)
        clock += len(inside)
    for view in program.final_reads():
        touch(view.buffer, clock, clock)
    return _placed(buffers, spans)


def _placed(buffers, spans):
    """Sets offsets so that memory needed at the same time does not overlap, the largest first."""
    sizes: dict[np.dtype, int] = {}
    done: list = []
    for key, buffer in sorted(buffers.items(), key=lambda item: -item[1].size):
        first, last = spans[key]
        taken = sorted(
            (other.offset, other.offset + other.size)
            for other, (start, end) in done
            if other.stored == buffer.stored and start <= last and first <= end
        )
        offset = 0
        for start, end in taken:
            if offset + buffer.size <= start:
                break
            offset = max(offset, end)
        buffer.offset = offset
        done.append((buffer, (first, last)))
        sizes[buffer.stored] = max(sizes.get(buffer.stored, 0), offset + buffer.size)
    return {dtype: size + (0 if dtype == np.int32 else READ_BEYOND) for dtype, size in sizes.items()}
