"""Fan-out: independent tasks run side by side, and one more collects what they made.

maze run examples/fan_out.py
"""

from maze import MaClient, task


@task(inputs=["first", "last"], outputs=["primes"], data_types={"first": "int", "last": "int"})
def primes_between(params):
    candidates = range(max(2, params["first"]), params["last"])
    return {"primes": [n for n in candidates if all(n % d for d in range(2, int(n**0.5) + 1))]}


# References to outputs may stand anywhere inside an input, also in a list of any length.
@task(inputs=["parts"], outputs=["count", "largest"])
def collect(params):
    primes = [prime for part in params["parts"] for prime in part]
    return {"count": len(primes), "largest": max(primes)}


client = MaClient()
workflow = client.create_workflow()

searches = [
    workflow.add_task(primes_between, inputs={"first": first, "last": first + 5_000}, task_name=f"primes from {first}")
    for first in range(0, 40_000, 5_000)
]
total = workflow.add_task(collect, inputs={"parts": [search.outputs["primes"] for search in searches]})

run_id = workflow.run()
workflow.get_results(run_id, verbose=False)
found = workflow.get_task_result(run_id, total.task_id)["result"]
print(f"{found['count']} primes below 40000; the largest is {found['largest']}")
