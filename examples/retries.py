"""Retries: a task that is tried again by itself, and a run that is taken up where it failed.

maze run examples/retries.py
"""

import tempfile
from pathlib import Path

from maze import MaClient, task


@task(inputs=["folder"], outputs=["rows"], retries=3, retry_backoff=0.2, retry_on=ConnectionError, timeout=60)
def download(params):
    from pathlib import Path

    tries = Path(params["folder"], "tries")
    with tries.open("a") as log:
        log.write("x")
    if len(tries.read_text()) < 3:  # as from a service that is not always there
        raise ConnectionError("the line is busy")
    return {"rows": [3, 1, 2]}


@task(inputs=["rows", "folder"], outputs=["text"])
def report(params):
    from pathlib import Path

    template = Path(params["folder"], "template.txt").read_text()
    return {"text": template.format(total=sum(params["rows"]))}


client = MaClient()
workflow = client.create_workflow()
with tempfile.TemporaryDirectory() as folder:
    rows = workflow.add_task(download, inputs={"folder": folder})
    text = workflow.add_task(report, inputs={"rows": rows.outputs["rows"], "folder": folder})

    run_id = workflow.run()
    workflow.show_results(run_id)  # the third try gets the rows, and then the template is missing

    Path(folder, "template.txt").write_text("The total is {total}.")
    again = workflow.retry(run_id, from_failed=True)  # the rows are there already
    result = workflow.show_results(again)
    print(result["task_results"][text.task_id]["text"])
