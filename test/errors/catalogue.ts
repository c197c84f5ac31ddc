import { readFileSync } from 'node:fs';
import t from 'tap';
import { errorsDocument } from '../../scripts/errors-doc.ts';
import { catalogue, IvshmemError, isIvshmemError } from '../../src/errors/index.ts';

t.test('docs/errors.md shows the catalogue', (t) => {
  t.equal(readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8'), errorsDocument());
  t.end();
});

t.test('every code is prefixed and every row says what to do', (t) => {
  for (const [code, { attempted, why, remedy, kind }] of Object.entries(catalogue)) {
    t.match(code, /^ERR_IVSHMEM_[A-Z0-9_]+$/);
    t.ok(attempted.length > 3 && why.length > 1 && remedy.length > 2, `${code} is complete`);
    t.match(kind, /^(usage|failure)$/);
  }
  t.end();
});

t.test('an error carries its code, message, remedy and cause', (t) => {
  const cause = new Error('EBUSY');
  const error = new IvshmemError('ERR_IVSHMEM_GROUP_BUSY', { on: '/dev/vfio/7' }, { cause });
  t.equal(error.code, 'ERR_IVSHMEM_GROUP_BUSY');
  t.match(
    error.message,
    /^cannot open the VFIO group \/dev\/vfio\/7: another process holds it\. Stop the other user/,
  );
  t.match(error.remedy, /fuser -v \/dev\/vfio\/7/);
  t.equal(error.cause, cause);
  t.ok(isIvshmemError(error));
  t.ok(isIvshmemError(error, 'ERR_IVSHMEM_GROUP_BUSY'));
  t.notOk(isIvshmemError(error, 'ERR_IVSHMEM_CLOSED'));
  t.notOk(isIvshmemError(cause));
  t.end();
});
