import { useState } from 'preact/hooks';
import { signInAndLook } from './state/session.ts';

export function SignIn({ problem }: { readonly problem: string | undefined }) {
  const [token, setToken] = useState('');
  return (
    <main class="sign-in">
      <img src="/assets/icon.svg" alt="" width="44" height="44" />
      <h1>Cirri</h1>
      <p class="dim">Open the address that <code>cirri ui</code> prints, or give a token: <code>cirri hubble token create</code> makes one.</p>
      <form onSubmit={event => {
        event.preventDefault();
        void signInAndLook(token.trim());
      }}>
        <label><span class="visually-hidden">Token</span><input type="password" autocomplete="off" placeholder="Token" value={token} onInput={event => setToken(event.currentTarget.value)} autofocus /></label>
        <button class="button primary" type="submit" disabled={token.trim() === ''}>Sign in</button>
      </form>
      {problem !== undefined && <p class="notice dropped" role="alert">{problem}</p>}
    </main>
  );
}
