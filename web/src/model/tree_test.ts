// Goal: branches keep everything and show one path. Method: small trees by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  matches,
  pathTo,
  shownPath,
  siblings,
  titleFrom,
  withChanged,
  withChosen,
  withMessage,
  without,
} from './tree';
import { newConversation, newMessage, type Conversation, type Message } from './types';

function talk(): { one: Conversation; question: Message; answer: Message } {
  const question = newMessage('user', null, 'Tell me about a fox');
  const answer = newMessage('assistant', question.id, 'Once');
  const one = withMessage(withMessage(newConversation(), question), answer);
  return { one, question, answer };
}

const texts = (path: Message[]): string[] => path.map((message) => message.content);

test('the first message gives the title', () => {
  assert.equal(talk().one.title, 'Tell me about a fox');
  const renamed = { ...newConversation(), title: 'Mine', isRenamed: true };
  assert.equal(withMessage(renamed, newMessage('user', null, 'Hi')).title, 'Mine');
});

test('a regenerated answer stands beside the old one', () => {
  const { one, question, answer } = talk();
  const two = withMessage(one, newMessage('assistant', question.id, 'Twice'));
  assert.deepEqual(texts(shownPath(two)), ['Tell me about a fox', 'Twice']);
  assert.equal(siblings(two, answer).length, 2);
  assert.deepEqual(texts(shownPath(withChosen(two, answer))), ['Tell me about a fox', 'Once']);
});

test('an edited question is a branch, and each branch remembers what was chosen below it', () => {
  const { one, question, answer } = talk();
  const other = newMessage('assistant', question.id, 'Twice');
  const chosen = withChosen(withMessage(one, other), answer);
  const edited = newMessage('user', null, 'Tell me about a bird');
  const branched = withMessage(chosen, edited);
  assert.deepEqual(texts(shownPath(branched)), ['Tell me about a bird']);
  assert.deepEqual(texts(shownPath(withChosen(branched, question))), [
    'Tell me about a fox',
    'Once',
  ]);
  assert.equal(branched.title, 'Tell me about a fox');
});

test('the newest is shown where nothing is chosen, and a circle ends', () => {
  const { one, question } = talk();
  const two = withMessage(one, newMessage('assistant', question.id, 'Twice'));
  assert.deepEqual(texts(shownPath({ ...two, chosen: {} })), ['Tell me about a fox', 'Twice']);
  const a = { ...newMessage('user', null, 'a'), id: 'x' };
  const circle = [a, { ...newMessage('user', 'x', 'b'), id: 'root' }];
  assert.equal(shownPath({ ...newConversation(), messages: circle }).length, 2);
});

test('the path to a message does not depend on what is shown', () => {
  const { one, question, answer } = talk();
  const two = withMessage(one, newMessage('assistant', question.id, 'Twice'));
  assert.deepEqual(texts(pathTo(two, answer.id)), ['Tell me about a fox', 'Once']);
  assert.deepEqual(pathTo(two, 'nobody'), []);
});

test('a message goes with all that follows', () => {
  const { one, question, answer } = talk();
  const more = withMessage(one, newMessage('user', answer.id, 'And then?'));
  assert.deepEqual(texts(without(more, answer.id).messages), ['Tell me about a fox']);
  assert.deepEqual(without(more, question.id).messages, []);
  assert.deepEqual(without(more, question.id).chosen, {});
});

test('a change leaves the others alone', () => {
  const { one, question, answer } = talk();
  const changed = withChanged(one, answer.id, { content: 'Never' });
  assert.equal(
    changed.messages[0],
    one.messages.find(({ id }) => id === question.id),
  );
  assert.equal(changed.messages[1]?.content, 'Never');
  assert.equal(one.messages[1]?.content, 'Once');
});

test('titles end at a word', () => {
  assert.equal(titleFrom('  Hello \nthere'), 'Hello');
  assert.equal(titleFrom('   '), 'New conversation');
  const long = titleFrom('word '.repeat(40));
  assert.ok(long.length <= 61 && long.endsWith('word…'), long);
});

test('search wants all words, anywhere', () => {
  const { one } = talk();
  assert.ok(matches(one, 'FOX once'));
  assert.ok(matches(one, ' '));
  assert.ok(!matches(one, 'fox bird'));
});
