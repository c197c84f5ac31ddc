import t from 'tap';
import { Heap } from '../../src/dsm/heap/heap.ts';
import { array, bytes, pointer, struct, text } from '../../src/dsm/index.ts';
import { endWorlds, World } from './support/world.ts';

t.teardown(endWorlds);

const Point = struct({ x: 'f64', y: 'f32' });
const Job = struct({
  state: 'u8',
  id: 'u32',
  small: 'i16',
  total: 'i64',
  next: pointer,
  name: text(10),
  key: bytes(4),
  corner: Point,
  values: array('i32', 3),
  path: array(Point, 2),
});

t.test('fields lie as in C', (t) => {
  t.same(Point.offsets, { x: 0, y: 8 });
  t.equal(Point.bytes, 16);
  t.same(Job.offsets, {
    state: 0,
    id: 4,
    small: 8,
    total: 16,
    next: 24,
    name: 32,
    key: 42,
    corner: 48,
    values: 64,
    path: 80,
  });
  t.equal(Job.bytes, 112);
  t.equal(Job.align, 8);
  t.end();
});

t.test('what is stored is in memory, for every view', (t) => {
  const place = { buffer: new ArrayBuffer(1024) };
  const [one, two] = [Job.at(place, 16), Job.at(place, 16)];
  one.state = 255;
  one.id = 0xffffffff;
  one.small = -2;
  one.total = -(2n ** 60n);
  one.next = 2 ** 40 + 16;
  one.name = 'grün';
  one.key = new Uint8Array([1, 2]);
  one.corner.x = 0.1;
  one.values.set(2, -7);
  one.path.get(1)!.y = 0.5;
  t.match(two, {
    offset: 16,
    state: 255,
    id: 0xffffffff,
    small: -2,
    total: -(2n ** 60n),
    next: 2 ** 40 + 16,
  });
  t.equal(two.name, 'grün');
  t.same([...two.key], [1, 2, 0, 0]);
  t.equal(two.corner.x, 0.1);
  t.same([...two.values], [0, 0, -7]);
  t.equal(two.path.get(1)!.y, 0.5);
  t.equal(new DataView(place.buffer).getFloat64(16 + 48, true), 0.1);
  t.equal(two.values.get(3), undefined);
  two.key[3] = 9;
  t.equal(one.key[3], 9, 'bytes are the memory itself');
  two.name = '0123456789';
  t.equal(one.name, '0123456789');
  t.equal(one.key[0], 1, 'and what follows is left alone');
  t.end();
});

t.test('wrong use is refused', (t) => {
  const place = { buffer: new ArrayBuffer(64) };
  const field = { code: 'ERR_IVSHMEM_STRUCT_FIELD' };
  const at = { code: 'ERR_IVSHMEM_STRUCT_PLACE' };
  for (const offset of [-16, 4, 1.5, NaN, 56, 64, 2 ** 40])
    t.throws(() => Point.at(place, offset), at, `${offset}`);
  t.throws(() => struct({}), field);
  t.throws(() => struct({ x: 'f63' as 'f64' }), field);
  t.throws(() => struct({ offset: 'f64' }), field);
  t.throws(() => struct({ x: {} as typeof pointer }), field);
  t.throws(() => bytes(0), field);
  t.throws(() => array('i8', 1.5), field);
  const Named = struct({ name: text(4), inner: Point, list: array('u8', 2) });
  const view = Named.at(place, 0);
  t.throws(() => (view.name = 'grün!'), field, 'too long in UTF-8');
  t.throws(() => (view.inner = Point.at(place, 0)), field);
  t.throws(() => (view.list = [...view.list] as never), field);
  t.throws(() => view.list.set(2, 1), field);
  t.end();
});

t.test('a list in the heap', (t) => {
  const world = new World(64 << 10);
  const member = world.join(1);
  const heap = new Heap(member.memory, member.sync);
  const Node = struct({ value: 'u32', next: pointer });
  const first = Node.alloc(heap)!;
  heap.root = first.offset;
  for (let n = 1; n < 10; n++) {
    const node = Node.alloc(heap)!;
    node.value = n;
    node.next = heap.root;
    heap.root = node.offset;
  }
  const seen: number[] = [];
  for (let at = heap.root; at !== 0; ) {
    const node = Node.at(heap, at);
    seen.push(node.value);
    at = node.next;
  }
  t.same(seen, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
  const dirty = heap.alloc(16);
  new Uint8Array(world.buffer, dirty, 16).fill(255);
  heap.free(dirty);
  t.equal(Node.alloc(heap, first.offset + Node.offsets.next)!.value, 0, 'new ones are zero');
  t.not(first.next, 0, 'and linked where asked');
  while (heap.alloc(16) !== 0);
  t.equal(Node.alloc(heap), null);
  t.end();
});
