// Holds OpenAPI files against a validator: validate.mjs FILE ...

import { pathToFileURL } from 'node:url';

const { Validator } = await import(pathToFileURL(
    `${process.env.KNOCK_PACKAGES}/node_modules/@seriousme/`
    + 'openapi-schema-validator/index.js'));

let passed = 0;
let failed = 0;

for (const file of process.argv.slice(2)) {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(file);

    if (valid && validator.version === '3.1') {
        passed++;
        continue;
    }

    failed++;
    console.log(`${file}: version ${validator.version}`,
                JSON.stringify(errors, null, 1));
}

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
