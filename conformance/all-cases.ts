import { APP_CASES } from './cases/apps.ts';
import { BAD_CODE_CASES } from './cases/bad-code.ts';
import { ENVIRONMENT_CASES } from './cases/environment.ts';
import { HTTP_CASES } from './cases/http.ts';
import { INVOKE_CASES } from './cases/invoke.ts';
import { KILL_CASES } from './cases/kill.ts';
import { LIFE_CASES } from './cases/life.ts';
import { LOAD_CASES } from './cases/load.ts';
import { LOG_CASES } from './cases/logs.ts';
import { REQUEST_CASES } from './cases/requests.ts';
import { RESULT_CASES } from './cases/results.ts';
import { STATUS_CASES } from './cases/status.ts';
import type { ConformanceCase } from './conformance-case.ts';

/** In the order of the contract page. */
export const ALL_CASES: ConformanceCase[] = [
  ...LIFE_CASES,
  ...HTTP_CASES,
  ...STATUS_CASES,
  ...LOAD_CASES,
  ...ENVIRONMENT_CASES,
  ...BAD_CODE_CASES,
  ...INVOKE_CASES,
  ...RESULT_CASES,
  ...REQUEST_CASES,
  ...KILL_CASES,
  ...LOG_CASES,
  ...APP_CASES,
];
