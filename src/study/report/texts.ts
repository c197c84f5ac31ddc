/** What a reader should know of an experiment before its plots: the question, and how to read the answer. */
export const texts: Readonly<Record<string, { readonly name: string; readonly text: string }>> = {
  noise: {
    name: 'Noise floor',
    text: 'The same thing measured against itself. How far these ratios are from 1 is how far any other ratio of this study may be from the truth.',
  },
  size: {
    name: 'Message size and path',
    text: 'Round trips and one-way streams over the size of a message. Curves of percentiles show every single round trip: the tail is on the right.',
  },
  mix: {
    name: 'Local and remote traffic',
    text: 'A share of the messages goes to a peer on this host, the rest to one elsewhere. Both parts are shown: what is local should gain, and what is remote should not pay for it.',
  },
  count: {
    name: 'Members and channels',
    text: 'The cost of a message as there are more members of the region, or more channels of one member.',
  },
  detection: {
    name: 'Detection',
    text: 'From the cause (a member joins, leaves or is killed) to when the others know, by event and by polling.',
  },
  switch: {
    name: 'Switching',
    text: 'What a stream notices when it changes from TCP to shared memory and back while it is used.',
  },
  factors: {
    name: 'Factors',
    text: 'Each factor was varied by itself. A line reaches from the level that did worst to the one that did best; the longest is the factor that matters most.',
  },
  dsm: {
    name: 'Distributed shared memory',
    text: 'Plain loads and stores, faults, locks and whole programs on shared pages.',
  },
  applications: { name: 'Applications', text: 'Unmodified programs over each path.' },
  cost: {
    name: 'Cost',
    text: 'Processor time and context switches for what was moved, of both sides together.',
  },
};

/** The name of an experiment that is not in the list is its own. */
export function textOf(experiment: string): { name: string; text: string } {
  return texts[experiment] ?? { name: experiment, text: '' };
}
