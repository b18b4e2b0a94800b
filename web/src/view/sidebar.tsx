// The list of conversations: search, open, rename, delete, and files in and out.
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { matches } from '../model/tree';
import type { Conversation } from '../model/types';
import { runs, stop } from '../state/generation';
import { current, remove, rename, show, sorted, startConversation } from '../state/store';
import { focusComposer, search } from '../state/ui';
import { ageGroup } from '../text/dates';
import { Icon, IconButton } from './icons';
import { closeDrawer, isNarrow, isSidebarShown } from './sidebar_state';
import { exportConversations, ImportButton } from './transfer_buttons';

/** The list is drawn anew at each step of a stream: longer ones would be felt. */
const PAGE_SIZE = 100;

export function newConversationHere(): void {
  startConversation();
  search.value = '';
  closeDrawer();
  requestAnimationFrame(focusComposer);
}

export function Sidebar(): JSX.Element | null {
  const root = useRef<HTMLElement>(null);
  const isShown = isSidebarShown.value;
  useEffect(() => {
    if (isNarrow.value && isShown) root.current?.querySelector('button')?.focus();
  }, [isShown]);
  if (!isShown) return null;
  const found = sorted.value.filter((one) => matches(one, search.value));
  return (
    <>
      {isNarrow.value && <div class="backdrop" onClick={closeDrawer} />}
      <nav class="sidebar" aria-label="Conversations" ref={root}>
        <div class="sidebar-head">
          <span class="brand">Fathom</span>
          {isNarrow.value && (
            <IconButton icon="close" label="Close the list" onClick={closeDrawer} />
          )}
        </div>
        <button type="button" class="new-button" onClick={newConversationHere}>
          <Icon name="plus" />
          New conversation
        </button>
        <div class="search">
          <Icon name="search" />
          <input
            id="search"
            type="search"
            aria-label="Search conversations"
            placeholder="Search"
            value={search.value}
            onInput={(event) => (search.value = event.currentTarget.value)}
          />
        </div>
        <List found={found} />
        <div class="sidebar-foot">
          <ImportButton />
          <button
            type="button"
            class="text-button"
            disabled={sorted.value.length === 0}
            onClick={() => exportConversations(sorted.value, 'fathom-conversations')}
          >
            <Icon name="download" />
            Export all
          </button>
        </div>
      </nav>
    </>
  );
}

function List({ found }: { found: Conversation[] }): JSX.Element {
  const [nShown, setShown] = useState(PAGE_SIZE);
  if (found.length === 0)
    return <p class="nothing">{search.value ? 'Nothing is found.' : 'No conversations yet.'}</p>;
  const groups = new Map<string, Conversation[]>();
  for (const one of found.slice(0, nShown)) {
    const group = ageGroup(one.updatedAt, Date.now());
    groups.set(group, [...(groups.get(group) ?? []), one]);
  }
  return (
    <div class="list">
      {[...groups].map(([group, members]) => (
        <section key={group} aria-label={group}>
          <h2>{group}</h2>
          <ul>
            {members.map((one) => (
              <Item key={one.id} conversation={one} />
            ))}
          </ul>
        </section>
      ))}
      {found.length > nShown && (
        <button type="button" class="text-button" onClick={() => setShown(nShown + PAGE_SIZE)}>
          Show more
        </button>
      )}
    </div>
  );
}

function Item({ conversation }: { conversation: Conversation }): JSX.Element {
  const [isRenaming, setRenaming] = useState(false);
  const { id, title } = conversation;
  const isCurrent = current.value.id === id;
  if (isRenaming)
    return (
      <li>
        <Renamer
          title={title}
          onDone={(next) => {
            if (next !== null) rename(id, next);
            setRenaming(false);
          }}
        />
      </li>
    );
  return (
    <li class={isCurrent ? 'item is-current' : 'item'}>
      <button
        type="button"
        class="item-title"
        aria-current={isCurrent ? 'page' : undefined}
        title={title}
        onClick={() => {
          show(id);
          closeDrawer();
        }}
      >
        {title}
        {runs.value.has(id) && <span class="dot" role="img" aria-label="answering" />}
      </button>
      <span class="item-actions">
        <IconButton icon="pencil" label={`Rename ${title}`} onClick={() => setRenaming(true)} />
        <IconButton
          icon="trash"
          label={`Delete ${title}`}
          onClick={() => {
            stop(id);
            remove(id);
            requestAnimationFrame(() => document.getElementById('search')?.focus());
          }}
        />
      </span>
    </li>
  );
}

interface RenamerProps {
  title: string;
  onDone: (title: string | null) => void;
}

function Renamer({ title, onDone }: RenamerProps): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.select(), []);
  return (
    <input
      class="renamer"
      ref={field}
      aria-label="Title"
      defaultValue={title}
      maxLength={200}
      onBlur={(event) => onDone(event.currentTarget.value)}
      onKeyDown={(event) => {
        if (event.key === 'Enter') onDone(event.currentTarget.value);
        else if (event.key === 'Escape') onDone(null);
        else return;
        event.stopPropagation();
      }}
    />
  );
}
