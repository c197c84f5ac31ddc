import { Box, render, Text, useInput } from 'ink';
import { createElement as h, type ReactNode } from 'react';
import type { Line } from './layout.ts';
import { enterScreen } from './terminal.ts';

/** What a key means; the rest is ignored. */
export type Action = 'quit' | 'sort' | 'up' | 'down' | 'pageUp' | 'pageDown';

export interface Screen {
  show(lines: readonly Line[]): void;
  /** Size of the terminal now. */
  size(): { readonly columns: number; readonly rows: number };
  /** Gives the terminal back as it was. Idempotent. */
  close(): void;
}

/** Takes the terminal over until close(), the end of the process, or a signal that ends it. */
export function openScreen(onAction: (action: Action) => void, onResize: () => void): Screen {
  const { stdin, stdout } = process;
  const leave = enterScreen(stdout);
  const interactive = stdin.isTTY === true;
  const view = (lines: readonly Line[]): ReactNode => h(View, { lines, interactive, onAction });
  const ink = render(view([]), { stdout, stdin, exitOnCtrlC: false, patchConsole: false });
  const resized = (): void => {
    // The terminal may have broken or joined lines of the old width: nothing of it is worth keeping.
    ink.clear();
    stdout.write('\x1b[2J\x1b[H');
    onResize();
  };
  stdout.on('resize', resized);
  let closed = false;
  return {
    show: (lines) => ink.rerender(view(lines)),
    size: () => ({ columns: stdout.columns ?? 80, rows: stdout.rows ?? 24 }),
    close: () => {
      if (closed) return;
      closed = true;
      stdout.off('resize', resized);
      ink.unmount();
      ink.cleanup();
      leave();
    },
  };
}

interface ViewProps {
  readonly lines: readonly Line[];
  /** Keys can be read. */
  readonly interactive: boolean;
  readonly onAction: (action: Action) => void;
}

function View({ lines, interactive, onAction }: ViewProps): ReactNode {
  useInput(
    (input, key) => {
      const action = actionOf(input, key);
      if (action !== null) onAction(action);
    },
    { isActive: interactive },
  );
  return h(
    Box,
    { flexDirection: 'column' },
    ...lines.map((line, index) =>
      h(
        Text,
        { key: index, wrap: 'truncate' },
        ...line.map(({ text, color, bold, dim, inverse }, part) =>
          h(
            Text,
            {
              key: part,
              bold: bold ?? false,
              dimColor: dim ?? false,
              inverse: inverse ?? false,
              ...(color === undefined ? {} : { color }),
            },
            text,
          ),
        ),
      ),
    ),
  );
}

type Key = Parameters<Parameters<typeof useInput>[0]>[1];

function actionOf(input: string, key: Key): Action | null {
  if (input === 'q' || input === 'Q' || key.escape || (key.ctrl && input === 'c')) return 'quit';
  if (input === 's') return 'sort';
  if (key.upArrow || input === 'k') return 'up';
  if (key.downArrow || input === 'j') return 'down';
  if (key.pageUp) return 'pageUp';
  return key.pageDown || input === ' ' ? 'pageDown' : null;
}
