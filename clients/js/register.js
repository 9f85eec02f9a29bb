/**
 * Lets a program import "coma" without having it installed: node --import <this file> main.js. A project that has it in its
 * own node_modules gets that one.
 *
 * coma run starts Node modules so. Where Node can, the hook runs in the program's own thread (22.15 and later); before, in
 * one of Node's own, which loads this file a second time.
 */

import * as module from "node:module";
import { isMainThread } from "node:worker_threads";

const coma = new URL("./coma.js", import.meta.url).href;

export async function resolve(name, context, next) {
  if (name !== "coma") {
    return next(name, context);
  }
  try {
    return await next(name, context);
  } catch (error) {
    return instead(error);
  }
}

function resolveNow(name, context, next) {
  if (name !== "coma") {
    return next(name, context);
  }
  try {
    return next(name, context);
  } catch (error) {
    return instead(error);
  }
}

function instead(error) {
  if (error.code !== "ERR_MODULE_NOT_FOUND" && error.code !== "MODULE_NOT_FOUND") {
    throw error;
  }
  return { url: coma, format: "module", shortCircuit: true };
}

if (module.registerHooks) {
  module.registerHooks({ resolve: resolveNow });
} else if (isMainThread) {
  module.register(import.meta.url);
}
