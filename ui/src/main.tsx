import { render } from 'preact';
import { App } from './app.tsx';
import { openSession } from './state/session.ts';
import './state/theme.ts';

render(<App />, document.getElementById('app')!);
void openSession();
