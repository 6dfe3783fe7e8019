// Reads AsyncAPI documents with the AsyncAPI project's own parser, and fails when one is not what the specification says.
// Usage: node check.mjs DOCUMENT…

import { Parser, fromFile } from "@asyncapi/parser";

const ERROR = 0;
let failed = false;
for (const file of process.argv.slice(2)) {
  const { document, diagnostics } = await fromFile(new Parser(), file).parse();
  const errors = diagnostics.filter(({ severity }) => severity === ERROR);
  for (const { message, path } of errors) {
    console.error(`${file}: ${path.join("/")}: ${message}`);
  }
  if (errors.length > 0 || !document) {
    failed = true;
  } else {
    const messages = document.allMessages().all().length;
    console.log(`${file}: ${document.channels().all().length} channels, ${messages} messages`);
  }
}
process.exitCode = failed || process.argv.length < 3 ? 1 : 0;
