(* Section 3 of docs/theory.md: mirror descent with coverage, one step. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Section0 Section1 Section2 Claims.
From BOMRL Require Constant.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

Section Case.
Variables (Tasks S A : finType) (c : case Tasks S A) (tau : Tasks).
Hypothesis alg : method c = kl_posterior.
Notation M := (task c tau).
Notation star := (fun s => point (best c tau s)).

(* The exact step of Alg(2) at one state. *)
Definition step s : dist A := soft (Constant.Q_phi c tau s) (Constant.lambda c) (meta_gt0 c s).

Lemma objectiveE s x :
  Constant.objective c tau s x = soft_objective (meta c s) (Constant.Q_phi c tau s) (Constant.lambda c) x.
Proof. by rewrite /Constant.objective /Constant.penalty alg. Qed.

Lemma soft_valueE s : Constant.soft_value c tau s = Constant.objective c tau s (step s).
Proof. by rewrite objectiveE soft_maximum //; apply: lambda_gt0. Qed.

Lemma objective_le_soft_value s x : Constant.objective c tau s x <= Constant.soft_value c tau s.
Proof. by rewrite soft_valueE !objectiveE; apply: closed_form_is_argmax; apply: lambda_gt0. Qed.

Lemma gE s : Constant.g c tau s = Tpi M (adapted c tau) (V_phi c tau) s - V_phi c tau s.
Proof. exact: inner_advantage. Qed.

Lemma improvementE :
  (1 - Constant.gamma c) * Constant.improvement c tau = Sum (fun s => visit_plus c tau s * Constant.g c tau s).
Proof.
rewrite /Constant.improvement -(gamma_def c tau) -(performance_difference_vector _ (V_plus_def c tau) (visit_plus_def c tau)).
by apply: sum_ext => s; rewrite gE.
Qed.

Lemma gap_phi_star :
  (1 - Constant.gamma c) * Constant.gap_phi c tau = Sum (fun s => visit_star c tau s * Constant.a c tau s).
Proof.
rewrite /Constant.gap_phi -(gamma_def c tau) -(performance_difference_vector _ (V_star_def c tau) (visit_star_def c tau)).
by apply: sum_ext => s; rewrite /Tpi inner_point.
Qed.

(* Almost no loss anywhere. *)
Lemma gain_ge0 s : 0 <= Constant.g c tau s + Constant.zeta c tau s.
Proof.
have pen0 := penalty_ge0 tau s (adapted_competes c tau s).
have vs_phi := objective_le_soft_value s (meta c s); rewrite objective_meta in vs_phi.
have := Rmax_r 0 (Constant.soft_value c tau s - Constant.objective c tau s (adapted c tau s)).
rewrite -/(Constant.zeta c tau s) gE /Tpi -/(Constant.Q_phi c tau s) {1}/Constant.objective; lra.
Qed.

Lemma C_gt0 : 0 < Constant.C c tau.
Proof.
have [i top] := largest_attained (visit_star c tau) (start_inhabited M).
have pos : 0 < visit_star c tau i.
  case: (Rlt_le_dec 0 (visit_star c tau i)) => // neg.
  have all0 s : visit_star c tau s <= 0 by have := largest_ge (visit_star c tau) s; lra.
  by have := sum_le all0; rewrite sum_0 (flow_sum1 (visit_star_def c tau)); lra.
have := largest_ge (fun s => if Rlt_dec 0 (Constant.nu_star c tau s)
  then Constant.nu_star c tau s / Constant.nu_plus c tau s else 0) i.
rewrite -/(Constant.C c tau) /Constant.nu_star; case: Rlt_dec => //= _ H.
apply: Rlt_le_trans H; apply: Rdiv_lt_0_compat => //.
exact: (full_support_visits (adapted_gt0 c tau) (visit_plus_def c tau) (visit_star_def c tau)).
Qed.

Lemma covered s : visit_star c tau s / Constant.C c tau <= visit_plus c tau s.
Proof.
have C0 := C_gt0; have p0 := flow_ge0 (visit_plus_def c tau) s.
case: (Rle_lt_or_eq_dec _ _ (flow_ge0 (visit_star_def c tau) s)) => [pos|<-]; last by rewrite /Rdiv Rmult_0_l.
have ppos := full_support_visits (adapted_gt0 c tau) (visit_plus_def c tau) (visit_star_def c tau) pos.
have := largest_ge (fun s => if Rlt_dec 0 (Constant.nu_star c tau s)
  then Constant.nu_star c tau s / Constant.nu_plus c tau s else 0) s.
rewrite -/(Constant.C c tau) /Constant.nu_star /Constant.nu_plus; case: Rlt_dec => //= _ H.
apply: (Rmult_le_reg_r (Constant.C c tau)) => //.
have -> : visit_star c tau s / Constant.C c tau * Constant.C c tau
        = visit_star c tau s / visit_plus c tau s * visit_plus c tau s by field; lra.
by rewrite Rmult_comm; apply: Rmult_le_compat_l.
Qed.

Lemma kE s : Constant.lambda c * Constant.k c tau s = Constant.a c tau s - Constant.g c tau s.
Proof.
have l0 := lambda_gt0 c; rewrite gE /Constant.k /Constant.a /Tpi -/(Constant.Q_phi c tau s); field; lra.
Qed.

Theorem coverage_case :
  Constant.gap c tau <= (1 - 1 / Constant.C c tau) * Constant.gap_phi c tau
    + Constant.lambda c * Sum (fun s => Constant.k c tau s * Constant.nu_star c tau s)
      / ((1 - Constant.gamma c) * Constant.C c tau)
    + Sum (fun s => (Constant.nu_plus c tau s - Constant.nu_star c tau s / Constant.C c tau) * Constant.zeta c tau s)
      / (1 - Constant.gamma c).
Proof.
have C0 := C_gt0; have g1 := gamma_lt1 c tau.
have slack : 0 <= Sum (fun s => (visit_plus c tau s - visit_star c tau s / Constant.C c tau)
    * (Constant.g c tau s + Constant.zeta c tau s)).
  apply: sum_ge0 => s; apply: Rmult_le_pos; last exact: gain_ge0.
  by have := covered s; lra.
have E : Sum (fun s => (visit_plus c tau s - visit_star c tau s / Constant.C c tau)
    * (Constant.g c tau s + Constant.zeta c tau s))
  = Sum (fun s => (Constant.nu_plus c tau s - Constant.nu_star c tau s / Constant.C c tau) * Constant.zeta c tau s)
    + (1 - Constant.gamma c) * Constant.improvement c tau
    - / Constant.C c tau * ((1 - Constant.gamma c) * Constant.gap_phi c tau)
    + / Constant.C c tau * (Constant.lambda c * Sum (fun s => Constant.k c tau s * Constant.nu_star c tau s)).
  rewrite improvementE gap_phi_star -!sumZl -sumD -sumB -sumD; apply: sum_ext => s.
  have -> : Constant.lambda c * (Constant.k c tau s * Constant.nu_star c tau s)
          = Constant.lambda c * Constant.k c tau s * visit_star c tau s by rewrite /Constant.nu_star; ring.
  by rewrite kE /Constant.nu_star /Constant.nu_plus /Rdiv; ring.
rewrite E in slack; have gapE : Constant.gap c tau = Constant.gap_phi c tau - Constant.improvement c tau.
  by rewrite /Constant.gap /Constant.gap_phi /Constant.improvement; ring.
rewrite gapE; apply: (Rmult_le_reg_l (1 - Constant.gamma c)); first lra.
set K := Sum (fun s => Constant.k c tau s * _) in slack *; set Z := Sum (fun s => _ * Constant.zeta c tau s) in slack *.
have -> : (1 - Constant.gamma c) * ((1 - 1 / Constant.C c tau) * Constant.gap_phi c tau
    + Constant.lambda c * K / ((1 - Constant.gamma c) * Constant.C c tau) + Z / (1 - Constant.gamma c))
  = (1 - Constant.gamma c) * Constant.gap_phi c tau - / Constant.C c tau * ((1 - Constant.gamma c) * Constant.gap_phi c tau)
    + / Constant.C c tau * (Constant.lambda c * K) + Z by field; lra.
lra.
Qed.

(* For the exact step zeta is zero, and k is the bracket of the three-point identity. *)
Lemma exact_step : Constant.solves_inner_problem c -> forall s b, adapted c tau s b = step s b.
Proof.
move=> solved s; apply: (argmax_is_closed_form (lambda_gt0 c) (meta_gt0 c s)) => y.
by have := solved tau s; rewrite alg => /(_ y); rewrite /Constant.competes alg !objectiveE; apply.
Qed.

Theorem coverage_exact_case : Constant.solves_inner_problem c ->
  Constant.gap c tau <= (1 - 1 / Constant.C c tau) * Constant.gap_phi c tau
    + Constant.lambda c / (Constant.C c tau * (1 - Constant.gamma c))
      * Sum (fun s => Constant.nu_star c tau s * (KL (star s) (meta c s) - KL (star s) (adapted c tau s)
          - KL (adapted c tau s) (meta c s))).
Proof.
move=> solved; have l0 := lambda_gt0 c; have g1 := gamma_lt1 c tau; have C0 := C_gt0.
have same := exact_step solved.
have zeta0 s : Constant.zeta c tau s = 0.
  rewrite /Constant.zeta soft_valueE !objectiveE; apply: Rmax_left; right.
  rewrite /soft_objective (KL_ext (same s) (fun b => erefl (meta c s b))).
  have -> : inner (adapted c tau s) (Constant.Q_phi c tau s) = inner (step s) (Constant.Q_phi c tau s).
    by apply: sum_ext => b; rewrite same.
  by ring.
have kE' s : Constant.k c tau s = KL (star s) (meta c s) - KL (star s) (adapted c tau s) - KL (adapted c tau s) (meta c s).
  have := three_point (Constant.Q_phi c tau s) l0 (meta_gt0 c s) (star s).
  rewrite -/(step s) -(KL_ext (fun b => erefl (star s b)) (same s)) -(KL_ext (same s) (fun b => erefl (meta c s b))).
  rewrite inner_point; have -> : inner (step s) (Constant.Q_phi c tau s) = inner (adapted c tau s) (Constant.Q_phi c tau s).
    by apply: sum_ext => b; rewrite same.
  by rewrite /Constant.k => ->; field; lra.
apply: Rle_trans coverage_case _; right.
rewrite (sum_ext (f := fun s => _ * Constant.zeta c tau s) (g := fun _ => 0)); last by move=> s; rewrite zeta0; ring.
rewrite sum_0 (sum_ext (f := fun s => Constant.k c tau s * _) (g := fun s => Constant.nu_star c tau s
  * (KL (star s) (meta c s) - KL (star s) (adapted c tau s) - KL (adapted c tau s) (meta c s)))).
  by field; lra.
by move=> s; rewrite kE'; ring.
Qed.

End Case.

Theorem coverage : coverage_claim.
Proof.
move=> T S A c alg tau; apply: Rle_trans (coverage_case tau alg) _; right.
by rewrite /coverage_bound; ring.
Qed.

(* J-star - J(pi+) <= (1 - 1/C)(J-star - J(phi))
     + lambda/(C (1-gamma)) sum_s nu-star(s) [KL(pi-star||phi) - KL(pi-star||pi+) - KL(pi+||phi)](s). *)
Theorem coverage_exact (T S A : finType) (c : case T S A) (tau : T) :
  method c = kl_posterior -> Constant.solves_inner_problem c ->
  Constant.gap c tau <= (1 - 1 / Constant.C c tau) * Constant.gap_phi c tau
    + Constant.lambda c / (Constant.C c tau * (1 - Constant.gamma c))
      * Sum (fun s => Constant.nu_star c tau s * (KL (point (best c tau s)) (meta c s)
          - KL (point (best c tau s)) (adapted c tau s) - KL (adapted c tau s) (meta c s))).
Proof. by move=> alg; apply: coverage_exact_case. Qed.
