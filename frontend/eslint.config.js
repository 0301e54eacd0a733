// What a tool can hold: strict types, the rules of hooks, and the zones of imports
// (app -> features -> components -> lib -> types; no feature knows another).
import { createTypeScriptImportResolver } from "eslint-import-resolver-typescript";
import importX from "eslint-plugin-import-x";
import reactHooks from "eslint-plugin-react-hooks";
import { readdirSync } from "node:fs";
import tseslint from "typescript-eslint";

const features = readdirSync("src/features");
const below = {
  features: ["app"],
  components: ["app", "features"],
  lib: ["app", "features", "components"],
  types: ["app", "features", "components", "lib"],
};
const floors = Object.entries(below).map(([floor, above]) => ({
  target: `./src/${floor}`,
  from: above.map((one) => `./src/${one}`),
  message: "Imports run down only: app, features, components, lib, types.",
}));
const siblings = features.map((feature) => ({
  target: `./src/features/${feature}`,
  from: "./src/features",
  except: [`./${feature}`],
  message: "No feature imports another: what both need belongs into components or lib.",
}));

export default tseslint.config(
  { ignores: ["node_modules", "src/types/openapi.ts", "src/types/report.ts", "dist", "playwright-report", "test-results"] },
  ...tseslint.configs.strictTypeChecked,
  {
    files: ["**/*.{ts,tsx}"],
    languageOptions: { parserOptions: { projectService: true } },
    plugins: { "import-x": importX, "react-hooks": reactHooks },
    settings: { "import-x/resolver-next": [createTypeScriptImportResolver()] },
    rules: {
      ...reactHooks.configs.recommended.rules,
      "import-x/no-restricted-paths": ["error", { zones: [...floors, ...siblings] }],
      "import-x/no-cycle": "error",
      "max-lines": ["error", { max: 320, skipBlankLines: true, skipComments: true }],
      "no-restricted-properties": ["error", { property: "innerHTML" }, { property: "outerHTML" }],
      "no-restricted-syntax": [
        "error",
        { selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']", message: "Names and log texts stay text." },
      ],
      "no-console": "error",
      // Nothing is compiled by React's compiler here; TanStack Virtual works without it.
      "react-hooks/incompatible-library": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-non-null-assertion": "error",
    },
  },
  // Playwright's fixtures have a function called `use`, and its pages a console.
  { files: ["tests/**"], rules: { "react-hooks/rules-of-hooks": "off", "no-console": "off" } },
  { files: ["*.js", "scripts/*.js"], ...tseslint.configs.disableTypeChecked },
);
