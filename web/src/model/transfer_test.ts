// Goal: an export comes back as it was, and no file breaks the page. Method: a round trip, and
// files broken in each way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asMarkdown, exportText, newOnes, readExport } from './transfer';
import { withMessage } from './tree';
import { newConversation, newMessage, type Conversation } from './types';

function sample(): Conversation {
  const question = newMessage('user', null, 'Hi');
  const answer = {
    ...newMessage('assistant', question.id, 'Ho'),
    state: 'failed' as const,
    usage: { prompt_tokens: 1, completion_tokens: 2, cached_tokens: 0, reasoning_tokens: 0 },
    timing: { firstTokenMs: 1, totalMs: 2 },
    tokens: [
      { text: 'Ho', logprob: -0.5, bytes: [72, 111], alternatives: [{ text: 'Hm', logprob: -2 }] },
    ],
    routing: { layers: 2, experts: 4, perToken: 1, ids: 'AD' },
    failure: { kind: 'cut' as const, message: 'Cut.' },
  };
  return withMessage(withMessage(newConversation(), question), answer);
}

/** The export of the sample with one place changed. */
function broken(change: (file: any) => void): string {
  const file = JSON.parse(exportText([sample()]));
  change(file);
  return JSON.stringify(file);
}

test('there and back', () => {
  const all = [sample(), sample()];
  assert.deepEqual(readExport(exportText(all)), all);
});

test('unknown fields are left behind, absent ones get their defaults', () => {
  const [one] = readExport(
    broken((file) => {
      file.conversations[0].evil = true;
      delete file.conversations[0].messages[1].tokens;
      delete file.conversations[0].messages[1].routing;
      delete file.conversations[0].wantsExperts;
    }),
  );
  assert.ok(one && !('evil' in one));
  assert.deepEqual(one.messages[1]?.tokens, []);
  assert.deepEqual([one.messages[1]?.routing, one.wantsExperts], [null, false]);
});

test('each broken file is refused with a reason', () => {
  const table: [string, RegExp][] = [
    ['nonsense', /no JSON/u],
    ['[]', /no export/u],
    [broken((file) => (file.version = 2)), /version 2, expected 1/u],
    [broken((file) => (file.conversations = {})), /no list/u],
    [broken((file) => (file.conversations[0].title = 7)), /conversation 1\.title is no text/u],
    [
      broken((file) => (file.conversations[0].messages[0].role = 'system')),
      /role is none of user, assistant/u,
    ],
    [broken((file) => (file.conversations[0].sampling.seed = 'x')), /sampling\.seed is no number/u],
    [
      broken((file) => (file.conversations[0].messages[1].routing.ids = 'AE')),
      /routing\.ids name an expert that there is not/u,
    ],
    [broken((file) => file.conversations[0].messages.reverse()), /parent does not stand before/u],
    [
      broken((file) => (file.conversations[0].messages[0].parentId = 'x')),
      /parent does not stand before/u,
    ],
    [
      broken(
        (file) => (file.conversations[0].messages[1].id = file.conversations[0].messages[0].id),
      ),
      /parent|one id/u,
    ],
  ];
  for (const [text, reason] of table) assert.throws(() => readExport(text), reason);
});

test('the same import twice adds nothing, a changed one gets its own id', () => {
  const one = sample();
  const kept = new Map([[one.id, one]]);
  assert.deepEqual(newOnes([one], kept), []);
  const [other] = newOnes([{ ...one, updatedAt: one.updatedAt + 1 }], kept);
  assert.ok(other && other.id !== one.id);
  const fresh = sample();
  assert.deepEqual(newOnes([fresh], kept), [fresh]);
});

test('as Markdown', () => {
  assert.equal(asMarkdown(sample(), 'Model'), '# Hi\n\n**You**\n\nHi\n\n**Model**\n\nHo\n');
});
