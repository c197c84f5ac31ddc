import type { Attachment } from '../membership/index.ts';

/** What a region stands on, for the parts of this package that are built on regions; not for its users. */
const attachments = new WeakMap<object, Attachment>();

export function attachmentOf(region: object): Attachment {
  const attachment = attachments.get(region);
  if (attachment === undefined) throw new TypeError('this is no region that was joined');
  return attachment;
}

/** For Region, once. */
export function attach(region: object, attachment: Attachment): void {
  attachments.set(region, attachment);
}
