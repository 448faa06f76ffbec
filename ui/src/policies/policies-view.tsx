import { useMemo, useState } from 'preact/hooks';
import type { WebPolicies, WebPolicy } from '../../../src/model/web.ts';
import { Empty } from '../parts/empty.tsx';
import { count } from '../parts/format.ts';
import { useAnswer } from '../parts/use-answer.ts';
import { go, place } from '../state/place.ts';
import { useStore } from '../state/store.ts';
import { MatrixView } from './matrix-view.tsx';
import { PolicyDetail } from './policy-detail.tsx';

const everyMs = 5000;

/** Policies with what their rules did; and who may talk to whom. */
export function PoliciesView({ isScoped }: { readonly isScoped: boolean }) {
  const here = useStore(place);
  const answer = useAnswer<WebPolicies>('/api/policies', everyMs);
  const policies = answer.value?.policies;
  const namespaces = useMemo(() => [...new Set((policies ?? []).flatMap(policy => policy.namespace ?? []))].sort(), [policies]);
  if (!policies) return answer.state === 'failed' ? <Empty title="The policies cannot be asked for">{answer.error}</Empty> : <Empty title="Reading policies and their counters …" />;
  const shown = here.filter.namespace === undefined ? policies : policies.filter(policy => policy.namespace === undefined || policy.namespace === here.filter.namespace);
  const chosen = policies.find(policy => policy.address === here.policy) ?? shown[0];
  return (
    <section class="policies" aria-label="Policies">
      <nav class="policy-list" aria-label="Policies">
        <div class="segments wide" role="group">
          <button type="button" aria-pressed={here.matrix === undefined} onClick={() => go({ matrix: undefined, cell: undefined })}>Rules</button>
          <button type="button" aria-pressed={here.matrix !== undefined} onClick={() => go({ matrix: here.filter.namespace ?? chosen?.namespace ?? namespaces[0] ?? 'default' })}>Who may talk to whom</button>
        </div>
        <PolicyList policies={shown} chosen={here.matrix === undefined ? chosen?.address : undefined} />
        {answer.value!.silent.length > 0 && <p class="notice">Without the counters of {answer.value!.silent.join(', ')}</p>}
      </nav>
      <div class="policy-main">
        {here.matrix !== undefined ? <MatrixView namespace={here.matrix} namespaces={namespaces} />
          : chosen ? <PolicyDetail key={chosen.address} policy={chosen} />
          : isScoped ? <Empty title="No policies in your namespaces">Policies of the cluster may hold there all the same; your session does not see them.</Empty>
          : <Empty title="No policies yet">Without one, everything may talk to everything. Choose a namespace's flows, then let <code>cirri policy recommend</code> propose the first.</Empty>}
      </div>
    </section>
  );
}

function PolicyList({ policies, chosen }: { readonly policies: readonly WebPolicy[]; readonly chosen: string | undefined }) {
  const [text, setText] = useState('');
  const matching = policies.filter(policy => policy.address.toLowerCase().includes(text.toLowerCase()));
  const groups = [...Map.groupBy(matching, policy => policy.namespace ?? '')].sort(([a], [b]) => (a < b ? -1 : 1));
  return (
    <>
      {policies.length > 8 && <input type="search" placeholder="Find a policy" aria-label="Find a policy" value={text} onInput={event => setText(event.currentTarget.value)} />}
      {groups.map(([namespace, members]) => (
        <div key={namespace}>
          <h3>{namespace === '' ? 'Cluster-wide' : namespace}</h3>
          <ul>
            {members.map(policy => (
              <li key={policy.address}>
                <button type="button" aria-current={policy.address === chosen} onClick={() => go({ policy: policy.address, matrix: undefined, cell: undefined })}>
                  <span class="policy-name">{policy.name}</span>
                  <Badges policy={policy} />
                </button>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </>
  );
}

function Badges({ policy }: { readonly policy: WebPolicy }) {
  const unused = policy.rules.filter(rule => rule.unused).length;
  const denied = policy.rules.filter(rule => rule.effect === 'deny' || rule.effect === 'default-deny').reduce((sum, rule) => sum + rule.packets, 0);
  return (
    <span class="badges">
      {policy.mode !== 'enforce' && <span class={`tag ${policy.mode === 'invalid' ? 'dropped' : ''}`}>{policy.mode}</span>}
      {policy.notEnforced.length > 0 && <span class="tag dropped">not in force</span>}
      {unused > 0 && policy.mode === 'enforce' && <span class="tag">{unused} unused</span>}
      {denied > 0 && <span class="dropped number" title="Packets denied">{count(denied)}</span>}
    </span>
  );
}
