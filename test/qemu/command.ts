import t from 'tap';
import { qemuCommand, shellCommand } from '../../qemu/command.ts';
import { cable } from '../../qemu/network.ts';
import type { VmOptions } from '../../qemu/options.ts';

const artifacts = {
  disk: '/cache/base.ext4',
  kernel: '/cache/vmlinuz',
  initramfs: '/cache/initramfs',
  payload: '/cache/payload.ext4',
  programs: '/cache/programs.ext4',
  directory: '/tmp/vm',
  accelerator: { accel: 'tcg,thread=multi', cpu: 'max' },
};

const compose = (options: Partial<VmOptions> = {}) => qemuCommand({ name: 'one', ...options }, artifacts);
/** The values of every `flag` in a command. */
const values = (words: string[], flag: string) => words.filter((_, index) => words[index - 1] === flag);

t.test('a plain VM', async (t) => {
  const words = compose();
  t.equal(words[0], 'qemu-system-x86_64');
  t.strictSame(
    values(words, '-readconfig').map((path) => path.split('/').at(-1)),
    ['machine.cfg', 'iommu.cfg', 'disks.cfg', 'console.cfg'],
    'the IOMMU comes before every PCI device',
  );
  t.strictSame(values(words, '-m'), ['512M']);
  t.ok(words.includes('-no-reboot'));
  t.match(values(words, '-append')[0], /intel_iommu=on .*GUEST_NAME=one/);
  t.notOk(words.includes('-netdev'));
  t.notOk(words.some((word) => word.includes('programs')));
});

t.test('the disk of programs, for those that ask', async (t) => {
  const words = compose({ programs: true });
  t.ok(values(words, '-readconfig').some((path) => path.endsWith('/programs.cfg')));
  t.ok(values(words, '-set').includes('drive.programs.file=/cache/programs.ext4'));
  t.match(values(words, '-append')[0], / GUEST_PROGRAMS=1\b/);
});

t.test('choices', async (t) => {
  const words = compose({
    memory: 1024,
    cpus: 2,
    iommu: false,
    append: 'debug',
    onReboot: 'reset',
    incoming: 'defer',
  });
  t.strictSame(values(words, '-m'), ['1024M']);
  t.strictSame(values(words, '-smp'), ['2']);
  t.strictSame(
    values(compose({}), '-smp'),
    ['1,maxcpus=2'],
    'with one processor atomic instructions are none',
  );
  t.notOk(words.some((word) => word.includes('iommu')));
  t.match(values(words, '-append')[0], / debug$/);
  t.notOk(words.includes('-no-reboot'));
  t.strictSame(values(words, '-incoming'), ['defer']);
  t.strictSame(values(compose({ ports: 2 }), '-device'), [
    'pcie-root-port,id=port0,chassis=1,slot=1,pref64-reserve=1G',
    'pcie-root-port,id=port1,chassis=2,slot=2,pref64-reserve=1G',
  ]);
});

t.test('ivshmem devices', async (t) => {
  const words = compose({
    ivshmem: [
      { kind: 'doorbell', server: '/run/a.sock', vectors: 4 },
      { kind: 'doorbell', server: '/run/b.sock' },
      { kind: 'plain', memory: '/dev/shm/c', size: 65536 },
    ],
  });
  t.match(values(words, '-readconfig').at(-1), /ivshmem-doorbell\.cfg$/);
  t.strictSame(values(words, '-set').slice(-2), [
    'chardev.ivshmem0.path=/run/a.sock',
    'device.ivshmem0.vectors=4',
  ]);
  t.strictSame(values(words, '-chardev'), ['socket,id=ivshmem1,path=/run/b.sock']);
  t.strictSame(values(words, '-object'), [
    'memory-backend-file,id=ivshmem-memory-ivshmem2,share=on,mem-path=/dev/shm/c,size=65536',
  ]);
  t.strictSame(values(words, '-device'), [
    'ivshmem-doorbell,id=ivshmem1,chardev=ivshmem1,vectors=2',
    'ivshmem-plain,id=ivshmem2,memdev=ivshmem-memory-ivshmem2',
  ]);
  t.notOk(
    words.some((word) => word.includes('reconnect')),
    'an ivshmem chardev never reconnects',
  );
});

t.test('networks', async (t) => {
  t.strictSame(values(compose({ network: { kind: 'user' } }), '-netdev'), ['user,id=net0,restrict=on']);
  const tap = {
    kind: 'tap',
    tap: 'tap1',
    namespace: 'space',
    mac: '52:54:00:00:00:01',
    address: '10.77.0.1/24',
  } as const;
  const words = compose({ network: tap });
  t.strictSame(words.slice(0, 5), ['ip', 'netns', 'exec', 'space', 'qemu-system-x86_64']);
  t.match(values(words, '-append')[0], /GUEST_MODULES=virtio_net GUEST_ADDRESS=10\.77\.0\.1\/24/);
  const [left, right] = cable('/tmp/c');
  const [a, b] = [
    values(compose({ network: left }), '-netdev')[0],
    values(compose({ network: right }), '-netdev')[0],
  ];
  t.match(a, /local\.path=\/tmp\/c\/cable1\.sock,.*remote\.path=\/tmp\/c\/cable2\.sock/);
  t.match(b, /local\.path=\/tmp\/c\/cable2\.sock,.*remote\.path=\/tmp\/c\/cable1\.sock/);
});

t.test('a printed command survives a shell', async (t) => {
  t.equal(shellCommand(['a', '-b', 'c d', "it's", 'x=1,y']), "a -b 'c d' 'it'\\''s' x=1,y");
});
