// What the charts of the site need of Vega, Vega-Lite and the interpreter of expressions, as one global,
// `neurosieveVega`. Of Vega's transforms only those that charts of this kind use: no maps, force layouts, word clouds,
// hierarchies, cross filters or regressions, which would make the file a quarter longer.
import { transforms } from "vega-dataflow";
import * as encode from "vega-encode";
import * as basic from "vega-transforms";
import * as layout from "vega-view-transforms";

Object.assign(transforms, basic, layout, encode);

export { View } from "vega-view";
export { parse } from "vega-parser";
export { compile } from "vega-lite";
export { expressionInterpreter } from "vega-interpreter";
