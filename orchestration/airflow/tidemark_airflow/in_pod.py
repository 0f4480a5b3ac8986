"""The same command in a pod of an image that has the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException

from tidemark_airflow.operators import conclude, target_taken
from tidemark_airflow.project import Pod, Project

# What it prints goes where Airflow takes a pod's result from; how it ended stands in there, and a
# pod that told something has done its part. The text is this one, whatever the arguments are.
SCRIPT = '"$@" > /airflow/xcom/return.json || test -s /airflow/xcom/return.json'


class TidemarkPodOperator(KubernetesPodOperator):
    """Calls `tidemark` in a pod; secrets come by `env_from` and `secrets` of the pod's options."""

    def __init__(
        self, *, arguments: Sequence[str], project: Project, pod: Pod, **kwargs: Any
    ) -> None:
        given = project.arguments(arguments, target_taken(arguments))
        super().__init__(
            image=pod.image,
            cmds=["sh", "-c", SCRIPT, "sh", pod.command],
            arguments=given,
            env_vars={**project.env, "DBT_PROFILES_DIR": pod.directory},
            do_xcom_push=True,
            **{**pod.options, **kwargs},
        )
        self.workdir = pod.directory

    def build_pod_request_obj(self, context: Any = None) -> Any:
        """In the project's folder; an argument that has rendered to nothing is none."""
        self.arguments = [argument for argument in self.arguments if argument]
        pod = super().build_pod_request_obj(context)
        for container in pod.spec.containers:
            if container.name == self.base_container_name:
                container.working_dir = self.workdir
        return pod

    def execute(self, context: Any) -> None:
        """Wait for the pod, and end as the command in it did."""
        told = super().execute(context)
        if not isinstance(told, dict) or "exit_code" not in told:
            raise AirflowException("The pod told nothing; its log is above.")
        conclude(told, context, self.log)
