"""Small computations without a worker: JavaScript, Python, jq, and the variables that steps share."""

from orchestrator import Script, Workflow, testing

totals = Workflow("totals", variables={"currency": "EUR"})
# The value of the last expression is output.result.
totals.inline(Script("$.lines.reduce((sum, line) => sum + line.price, 0)", {"lines": totals.input.lines}), ref="sum")
totals.inline(Script("round(sum * 1.19, 2)", {"sum": "${sum.output.result}"}, language="python"), ref="gross")
# jq over the inputs: result is the first answer, resultList all of them.
totals.jq(".lines | map(.sku) | sort", lines=totals.input.lines, ref="skus")
totals.set(total="${gross.output.result}", label="${gross.output.result} ${workflow.variables.currency}")
totals.output(skus="${skus.output.result}", total=totals.variables.total, label=totals.variables.label)

if __name__ == "__main__":
    result = testing.run(totals, {"lines": [{"sku": "lamp", "price": 30}, {"sku": "book", "price": 12.5}]})
    print(result.assert_completed().output)
