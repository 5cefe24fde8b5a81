(* Section 5 of docs/theory.md: what the meta-policy guarantees without adapting. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Section0 Section1 Section2 Claims.
From BOMRL Require Constant.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

(* An average over all actions but one, where the function is zero. *)
Lemma inner_others (A : finType) (x : dist A) (b : A) f d :
  f b = 0 -> (forall a, f a <= d) -> inner x f <= d * (1 - x b).
Proof.
move=> fb fd; rewrite /inner (sum_D1 _ b) fb Rmult_0_r Rplus_0_l -sum_others big_distrr /=.
apply: (big_ind2 (fun u v => u <= v)) => [|u1 u2 v1 v2 ? ?|a _]; try lra.
by rewrite Rmult_comm; apply: Rmult_le_compat_r; [apply: prob_ge0 | apply: fd].
Qed.

Section Case.
Variables (Tasks S A : finType) (c : case Tasks S A) (tau : Tasks).
Notation M := (task c tau).

Lemma V_starE s : V_star c tau s = Constant.Q_star c tau s (best c tau s).
Proof. by rewrite {1}V_star_def /Tpi inner_point. Qed.

Lemma loss_le s b : V_star c tau s - Constant.Q_star c tau s b <= Constant.Delta_star c tau.
Proof.
apply: Rle_trans (largest_ge (fun b => V_star c tau s - Constant.Q_star c tau s b) b) _.
exact: (largest_ge (fun s => Largest (fun b => V_star c tau s - Constant.Q_star c tau s b)) s).
Qed.

Lemma Delta_star_ge0 : 0 <= Constant.Delta_star c tau.
Proof. by have [s] := start_inhabited M; have := loss_le s (best c tau s); rewrite -V_starE; lra. Qed.

Lemma gap_phiE : Constant.gap_phi c tau
  = Sum (fun s => visit_phi c tau s * inner (meta c s) (fun b => V_star c tau s - Constant.Q_star c tau s b))
    / (1 - Constant.gamma c).
Proof.
have := performance_difference (V_star c tau) (V_phi_def c tau) (visit_phi_def c tau).
rewrite gamma_def /Constant.gap_phi => E.
have -> : forall x y, x - y = - (y - x) by move=> x y; ring.
rewrite E (sum_ext (f := fun s => _ * inner _ (fun b => V_star c tau s - _))
  (g := fun s => -1 * (visit_phi c tau s * inner (meta c s) (fun b => Q M (V_star c tau) s b - V_star c tau s)))).
  by rewrite sumZl /Rdiv; ring.
by move=> s; rewrite /Constant.Q_star !innerB; ring.
Qed.

Lemma p_gt0 s : 0 < Constant.p c tau s.
Proof. exact: meta_gt0. Qed.

Lemma p_le1 s : Constant.p c tau s <= 1.
Proof. exact: prob_le1. Qed.

Theorem no_adaptation_case : Constant.gap_phi c tau
  <= Constant.Delta_star c tau * Sum (fun s => (1 - Constant.p c tau s) * Constant.nu_phi c tau s) / (1 - Constant.gamma c).
Proof.
rewrite gap_phiE; have g1 := gamma_lt1 c tau.
apply: Rmult_le_compat_r; first by apply/Rlt_le/Rinv_0_lt_compat; lra.
rewrite -sumZl; apply: sum_le => s; have n0 := flow_ge0 (visit_phi_def c tau) s.
have -> : forall x y z, x * (y * z) = z * (x * y) by move=> x y z; ring.
apply: Rmult_le_compat_l => //; apply: inner_others => [|b]; first by rewrite V_starE; ring.
exact: loss_le.
Qed.

End Case.

Theorem no_adaptation : no_adaptation_claim.
Proof. by move=> T S A c _ tau; apply: no_adaptation_case. Qed.
